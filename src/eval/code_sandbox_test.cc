// SPDX-License-Identifier: Apache-2.0
#include "eval/code_sandbox.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "base/error.h"

namespace forge::eval {
namespace {

class CodeSandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      sandbox_ = std::make_unique<CodeSandbox>();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  std::unique_ptr<CodeSandbox> sandbox_;
};

TEST_F(CodeSandboxTest, PassesProgramsThatEndWell) {
  const SandboxResult good = sandbox_->Run("def f(x): return x + 1\nassert f(1) == 2\nprint('ok')");
  EXPECT_TRUE(good.has_passed) << good.output;
  EXPECT_EQ(good.output, "ok\n");
  const SandboxResult wrong = sandbox_->Run("assert 1 == 2, 'not equal'");
  EXPECT_FALSE(wrong.has_passed);
  EXPECT_EQ(wrong.status, 1);
  EXPECT_NE(wrong.output.find("not equal"), std::string::npos);
  EXPECT_FALSE(sandbox_->Run("import os; os.abort()").has_passed);
  EXPECT_FALSE(sandbox_->Run("def f(:").has_passed);
}

TEST_F(CodeSandboxTest, EndsAnEndlessLoop) {
  const SandboxResult result = sandbox_->Run("while True: pass", {.seconds = 1});
  EXPECT_TRUE(result.is_timeout);
  EXPECT_FALSE(result.has_passed);
  EXPECT_LT(result.seconds, 5);
}

// A child in the background that holds no output must not keep the sandbox open, and one that does must not
// either.
TEST_F(CodeSandboxTest, EndsWhatTheProgramLeavesBehind) {
  const SandboxResult result =
      sandbox_->Run("import os, time\nif os.fork() == 0:\n  time.sleep(60)\nprint('parent')", {.seconds = 3});
  EXPECT_LT(result.seconds, 10);
  EXPECT_NE(result.output.find("parent"), std::string::npos);
}

TEST_F(CodeSandboxTest, StopsAForkBomb) {
  const SandboxResult counted = sandbox_->Run(R"(
import os, time
children = 0
try:
  while children < 200:
    if os.fork() == 0:
      time.sleep(1)
      os._exit(0)
    children += 1
except OSError as error:
  print('refused', error.errno, children)
)",
                                              {.seconds = 10, .processes = 8});
  EXPECT_TRUE(counted.output.starts_with("refused 11 ")) << counted.output;
  EXPECT_LE(std::stoi(counted.output.substr(11)), 8);
  const SandboxResult bomb = sandbox_->Run("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
                                           {.seconds = 1, .processes = 8});
  EXPECT_TRUE(bomb.is_timeout);
  EXPECT_LT(bomb.seconds, 5);
}

TEST_F(CodeSandboxTest, WritesNoFileOutsideItsScratchFolder) {
  const std::filesystem::path outside = std::filesystem::temp_directory_path() / "forge-sandbox-escape";
  std::filesystem::remove(outside);
  for (const char* path : {"/usr/escape", "/escape", "/dev/escape", "/program.py", "/tmp/../escape"}) {
    const SandboxResult result = sandbox_->Run(std::string("open('") + path + "', 'w').write('x')");
    EXPECT_FALSE(result.has_passed) << path << result.output;
    EXPECT_FALSE(std::filesystem::exists(path) && std::string_view(path) != "/program.py");
  }
  sandbox_->Run("open('" + outside.string() + "', 'w').write('x')");  // its own /tmp
  EXPECT_FALSE(std::filesystem::exists(outside));
  EXPECT_FALSE(sandbox_->Run("open('/etc/passwd')").has_passed);
  EXPECT_FALSE(sandbox_->Run("import os; assert os.listdir('/root')").has_passed);
  EXPECT_FALSE(sandbox_->Run("open('big', 'wb').write(b'x' * (20 << 20))").has_passed);
  // Many files instead of a large one.
  EXPECT_FALSE(sandbox_->Run("for i in range(30): open(str(i), 'wb').write(b'x' * (1 << 20))").has_passed);
  EXPECT_TRUE(
      sandbox_->Run("open('small', 'w').write('x'); assert open('/tmp/small').read() == 'x'").has_passed);
}

TEST_F(CodeSandboxTest, ReachesNoNetwork) {
  const SandboxResult result = sandbox_->Run(R"(
import socket
for family, address in ((socket.AF_INET, ('1.1.1.1', 53)), (socket.AF_INET, ('127.0.0.1', 22))):
  try:
    socket.create_connection(address, timeout=2)
    print('connected')
  except OSError as error:
    print(error.errno)
names = [name for _, name in socket.if_nameindex()]
print(names)
)");
  EXPECT_EQ(result.output.find("connected"), std::string::npos);
  EXPECT_NE(result.output.find("['lo']"), std::string::npos) << result.output;
  EXPECT_TRUE(result.output.starts_with("101\n")) << result.output;  // ENETUNREACH
}

TEST_F(CodeSandboxTest, RefusesMemoryBeyondTheLimit) {
  const SandboxResult result = sandbox_->Run("x = bytearray(1 << 30)\nprint('had it')");
  EXPECT_FALSE(result.has_passed);
  EXPECT_NE(result.output.find("MemoryError"), std::string::npos) << result.output;
  EXPECT_TRUE(sandbox_->Run("x = bytearray(64 << 20)").has_passed);
}

TEST_F(CodeSandboxTest, KeepsOutputShortAndSeesNoEnvironment) {
  const SandboxResult loud = sandbox_->Run("print('x' * (1 << 20))", {.output_bytes = 100});
  EXPECT_EQ(loud.output.size(), 100U);
  setenv("FORGE_SECRET", "s", 1);
  const SandboxResult quiet = sandbox_->Run(
      "import os, sys\nprint('FORGE_SECRET' in os.environ, sys.stdin.read(), "
      "len(os.listdir('/proc/self/fd')))");
  unsetenv("FORGE_SECRET");
  EXPECT_TRUE(quiet.output.starts_with("False  ")) << quiet.output;
  EXPECT_LE(std::stoi(quiet.output.substr(7)), 5);  // 0, 1, 2 and the listing itself
}

}  // namespace
}  // namespace forge::eval
