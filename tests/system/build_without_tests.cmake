# Configures the project in a new folder, as deploy/quickstart does. Fails if that build would include the tests.
file(REMOVE_RECURSE ${BINARY})
execute_process(COMMAND ${CMAKE_COMMAND} --preset release -B ${BINARY} WORKING_DIRECTORY ${SOURCE}
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
load_cache(${BINARY} READ_WITH_PREFIX built_ TOKEND_TESTS GTest_DIR)
if(built_TOKEND_TESTS OR built_GTest_DIR)
  message(FATAL_ERROR "the build includes the tests without -DTOKEND_TESTS=ON: TOKEND_TESTS is ${built_TOKEND_TESTS}")
endif()
