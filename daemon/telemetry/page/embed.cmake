# Writes OUTPUT, a C++ source with the status page of FOLDER: the whole page, and the texts of its style and script, of which
# the Content-Security-Policy holds the hashes.
file(READ ${FOLDER}/status.html html)
file(READ ${FOLDER}/status.css style)
file(READ ${FOLDER}/status.js script)
string(REPLACE "<link rel=\"stylesheet\" href=\"status.css\">" "<style>${style}</style>" html "${html}")
string(REPLACE "<script src=\"status.js\"></script>" "<script>${script}</script>" html "${html}")
file(WRITE ${OUTPUT}.new "#include <string_view>\n\nnamespace tokend::telemetry::page {\n")
foreach(text html style script)
  file(APPEND ${OUTPUT}.new
    "extern const std::string_view ${text};\nconst std::string_view ${text} = R\"page(${${text}})page\";\n")
endforeach()
file(APPEND ${OUTPUT}.new "}  // namespace tokend::telemetry::page\n")
file(RENAME ${OUTPUT}.new ${OUTPUT})
