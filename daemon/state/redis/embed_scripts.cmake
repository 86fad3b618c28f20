# Writes OUTPUT, a C++ source with the text of each of SCRIPTS (names between commas) from FOLDER/<name>.lua. A line
# "-- include <name>" is replaced by the text of that file. Lines of comment stay out of the program.
file(WRITE ${OUTPUT}.new "#include <string_view>\n\nnamespace tokend::state::lua {\n")
string(REPLACE "," ";" scripts ${SCRIPTS})
foreach(script ${scripts})
  file(READ ${FOLDER}/${script}.lua text)
  while(text MATCHES "\n-- include ([a-z_]+)\n")
    set(line "\n-- include ${CMAKE_MATCH_1}\n")
    file(READ ${FOLDER}/${CMAKE_MATCH_1}.lua part)
    string(REPLACE "${line}" "\n${part}" text "${text}")
  endwhile()
  string(REGEX REPLACE "\n *--[^\n]*" "" text "\n${text}")
  file(APPEND ${OUTPUT}.new
    "extern const std::string_view ${script};\nconst std::string_view ${script} = R\"lua(${text})lua\";\n")
endforeach()
file(APPEND ${OUTPUT}.new "}  // namespace tokend::state::lua\n")
file(RENAME ${OUTPUT}.new ${OUTPUT})
