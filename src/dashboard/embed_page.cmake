# Turns a file into a C++ array, for page.h. Usage: cmake -DINPUT=<file> -DOUTPUT=<file.cc> -P embed_page.cmake
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "// Made by embed_page.cmake.
#include <cstddef>
namespace forge::dashboard {
extern const unsigned char kPageBytes[];
extern const std::size_t kPageSize;
const unsigned char kPageBytes[] = {${bytes}};
const std::size_t kPageSize = sizeof kPageBytes;
}  // namespace forge::dashboard
")
