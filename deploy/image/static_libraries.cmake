# Links what Debian 12 has archives for into the programs. The exceptions are the libraries that its libcurl uses as well,
# such as OpenSSL: libcurl itself has to stay shared, and a program must not have two copies of one library.
get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
set(with_archives "/lib(absl_|grpc|gpr|upb|address_sorting|cares|protobuf)[^/]*[.]so[^/]*$")
foreach(target ${targets})
  foreach(property IMPORTED_LOCATION IMPORTED_LOCATION_NONE IMPORTED_LOCATION_RELEASE)
    get_target_property(shared ${target} ${property})
    if(shared MATCHES ${with_archives})
      string(REGEX REPLACE "[.]so[^/]*$" ".a" archive ${shared})
      set_target_properties(${target} PROPERTIES ${property} ${archive})
    endif()
  endforeach()
endforeach()
string(REGEX REPLACE "[.]so$" ".a" LIBYAML ${LIBYAML})
