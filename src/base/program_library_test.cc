// SPDX-License-Identifier: Apache-2.0
#include "base/program_library.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"

namespace forge {
namespace {

TEST(ProgramLibrary, IsTheFileOfTheVariableElseBesideTheProgram) {
  EXPECT_EQ(FindProgramLibrary("libforge_none.so", "FORGE_TEST_LIBRARY"), "");
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
  EXPECT_EQ(FindProgramLibrary(program.filename().c_str(), "FORGE_TEST_LIBRARY"), program);
  setenv("FORGE_TEST_LIBRARY", "/elsewhere/x.so", 1);
  EXPECT_EQ(FindProgramLibrary(program.filename().c_str(), "FORGE_TEST_LIBRARY"), "/elsewhere/x.so");
  unsetenv("FORGE_TEST_LIBRARY");
}

TEST(ProgramLibrary, ThatCannotBeOpenedIsAnErrorWithTheReasonOfTheLoader) {
  try {
    OpenProgramLibrary("/elsewhere/x.so", "forge_x", "the engine", "make it");
    FAIL() << "it was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
    EXPECT_EQ(error.fields().what, "cannot open the engine /elsewhere/x.so");
    EXPECT_NE(error.fields().why.find("No such file"), std::string::npos) << error.fields().why;
    EXPECT_EQ(error.fields().fix, "make it");
  }
}

}  // namespace
}  // namespace forge
