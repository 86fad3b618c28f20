// Checks objects against the schemas of their kinds. Validators let unknown fields pass, and the TypeScript compiler
// lets wrong values pass: each sees what the other does not.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { nameOf, scratch } from './manifests.mjs';

const packages = { 'cert-manager.io': '@kubernetes-models/cert-manager',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator' };
// Kinds of which npm has no schema.
const without = ['ClusterSPIFFEID'];

export function moduleOf({ apiVersion, kind }) {
  return `${packages[apiVersion.split('/')[0]] ?? 'kubernetes-models'}/${apiVersion}/${kind}`;
}

// What the compiler says about `const value: type = …` for each value, one message a line.
export function compile(values) {
  const folder = scratch();
  const files = values.map(({ name, module, type, value }, number) => {
    const file = `${folder}/${number}-${name.replaceAll(/\W/g, '_')}.ts`;
    // Plain: the same type with the values of enumerations instead of their names.
    writeFileSync(file, `import type { ${type} } from '${module}';
      type Plain<T> = T extends string ? \`\${T}\` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
      export const value: Plain<${type}> = ${JSON.stringify(value, undefined, 1)};`);
    return file;
  });
  return spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '--noEmit', '--strict', '--skipLibCheck',
    '--module', 'nodenext', '--types', '', ...files], { encoding: 'utf8', cwd: new URL('.', import.meta.url) }).stdout;
}

// The mistakes in the objects, as text.
export async function mistakesIn(objects) {
  const known = objects.filter(({ kind }) => !without.includes(kind));
  let mistakes = '';
  for (const object of known) {
    try {
      const { [object.kind]: Model } = await import(moduleOf(object));
      new Model(object).validate();
    } catch (error) {
      mistakes += `${nameOf(object)}: ${error.message}\n`;
    }
  }
  return mistakes + compile(known.map((object) =>
    ({ name: nameOf(object), module: moduleOf(object), type: `I${object.kind}`, value: object })));
}
