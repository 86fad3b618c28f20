// Metrics that rules and dashboard ask for and that are still to come. Delete a name here when deploy/README.md
// documents it: monitoring_test.mjs fails until then.
export const pending = [];
