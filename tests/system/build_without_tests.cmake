# Configures the project as deploy/quickstart does, in a folder of its own, and fails if tests are then built.
file(REMOVE_RECURSE ${BINARY})
execute_process(COMMAND ${CMAKE_COMMAND} --preset release -B ${BINARY} WORKING_DIRECTORY ${SOURCE}
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
load_cache(${BINARY} READ_WITH_PREFIX built_ TOKEND_TESTS GTest_DIR)
if(built_TOKEND_TESTS OR built_GTest_DIR)
  message(FATAL_ERROR "tests are built although nobody asked: TOKEND_TESTS is ${built_TOKEND_TESTS}")
endif()
