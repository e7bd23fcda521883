# Turns a file into a C++ array: kPageBytes of kPageSize bytes in a namespace.
# Usage: cmake -DINPUT=<file> -DOUTPUT=<file.cc> -DNAMESPACE=<name> -P embed_page.cmake
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "// Made by embed_page.cmake.
#include <cstddef>
namespace ${NAMESPACE} {
extern const unsigned char kPageBytes[];
extern const std::size_t kPageSize;
const unsigned char kPageBytes[] = {${bytes}};
const std::size_t kPageSize = sizeof kPageBytes;
}  // namespace ${NAMESPACE}
")
