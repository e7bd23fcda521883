# Turns the task files of a folder into a C++ table, for built_in_files.h.
# Usage: cmake -DFOLDER=<folder> -DOUTPUT=<file.cc> -P embed_tasks.cmake
file(GLOB files ${FOLDER}/*.yaml)
list(SORT files)
set(table "")
set(arrays "")
set(count 0)
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND arrays "constexpr char kText${count}[] = {${bytes}};\n")
  string(APPEND table "    {\"${name}\", kText${count}, sizeof kText${count}},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Made by embed_tasks.cmake.
#include \"eval/built_in_files.h\"
namespace forge::eval {
namespace {
${arrays}}  // namespace
const BuiltInFile kBuiltInFiles[] = {
${table}};
const std::size_t kBuiltInFileCount = ${count};
}  // namespace forge::eval
")
