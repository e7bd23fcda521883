# forge_library(<name> SOURCES ... DEPENDS ... LIBRARIES ...): one layer of the program, in src/<name>.
# DEPENDS are the only other layers it may include; tests/layers_test.cc reads the same lists.
# x_test.cc beside x.cc is built into forge_<name>_test, x_bench.cc into forge_<name>_bench.

add_library(forge_warnings INTERFACE)
target_compile_options(forge_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<BOOL:${FORGE_WARNINGS_AS_ERRORS}>:-Werror>)

function(forge_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;LIBRARIES;TEST_LIBRARIES")
  add_library(forge_${name} STATIC ${arg_SOURCES})
  set(targets ${arg_DEPENDS})
  list(TRANSFORM targets PREPEND forge_)
  target_include_directories(forge_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(forge_${name} PUBLIC ${targets} ${arg_LIBRARIES} PRIVATE forge_warnings)
  list(JOIN arg_DEPENDS " " depends)
  set_property(GLOBAL APPEND PROPERTY FORGE_LAYERS "${name}: ${depends}")
  forge_tests(${name} forge_${name} ${arg_TEST_LIBRARIES})
endfunction()

# forge_tests(<name> <target> <more libraries>...): gtest and benchmark programs from the *_test.cc, *_bench.cc here.
function(forge_tests name target)
  if(FORGE_BUILD_TESTS)
    file(GLOB_RECURSE tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
    list(FILTER tests EXCLUDE REGEX "/torch/")
    if(tests)
      add_executable(forge_${name}_test ${tests})
      target_link_libraries(forge_${name}_test PRIVATE ${target} ${ARGN} forge_warnings GTest::gmock GTest::gtest_main)
      target_compile_definitions(forge_${name}_test PRIVATE FORGE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
      include(GoogleTest)
      gtest_discover_tests(forge_${name}_test TEST_PREFIX "${name}/" DISCOVERY_MODE PRE_TEST
        PROPERTIES TIMEOUT 300 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    endif()
  endif()
  if(FORGE_BUILD_BENCHMARKS)
    file(GLOB_RECURSE benches CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_bench.cc)
    list(FILTER benches EXCLUDE REGEX "/torch/")
    if(benches)
      add_executable(forge_${name}_bench ${benches})
      target_link_libraries(forge_${name}_bench PRIVATE ${target} ${ARGN} forge_warnings benchmark::benchmark_main)
      target_compile_definitions(forge_${name}_bench PRIVATE FORGE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    endif()
  endif()
endfunction()

# forge_engine_sources(<files>): sources that include torch; all of them make up libforge_engine.so.
function(forge_engine_sources)
  list(TRANSFORM ARGV PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set_property(GLOBAL APPEND PROPERTY FORGE_ENGINE_SOURCES ${ARGV})
endfunction()

# forge_page(<namespace> <file in web/> <out: source>): a page as a source file that holds its bytes.
function(forge_page namespace file source)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/page_bytes.cc)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${PROJECT_SOURCE_DIR}/web/${file} -DOUTPUT=${output} -DNAMESPACE=${namespace}
      -P ${PROJECT_SOURCE_DIR}/cmake/embed_page.cmake
    DEPENDS ${PROJECT_SOURCE_DIR}/web/${file} ${PROJECT_SOURCE_DIR}/cmake/embed_page.cmake
    COMMENT "Embedding web/${file}")
  set(${source} ${output} PARENT_SCOPE)
endfunction()
