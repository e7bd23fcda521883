// SPDX-License-Identifier: Apache-2.0
// forge evo with worker processes, and forge worker, also when they are killed.
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include "search_fixture.h"

namespace forge {
namespace {

using testing::Program;

class Workers : public SearchProgram {
 protected:
  /// The folder of the only run in an output folder, once it is there.
  fs::path RunFolder(const std::string& output) const {
    fs::path found;
    WaitFor([&] {
      if (!fs::exists(folder_ / output)) return false;
      for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / output))
        if (fs::exists(entry.path() / "evolve/search.json")) found = entry.path();
      return !found.empty();
    });
    return found;
  }
  static void WaitFor(const std::function<bool()>& condition) {
    for (int i = 0; i < 600 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_TRUE(condition()) << "waited 30 s in vain";
  }
  /// A program of its own, with its output in a folder of its own.
  std::unique_ptr<Program> Start(const std::vector<std::string>& arguments, const std::string& name) const {
    fs::create_directories(folder_ / name);
    return std::make_unique<Program>(arguments, folder_ / name);
  }
  std::string ErrorOf(const std::string& name) const { return io::ReadFile(folder_ / name / "stderr"); }
  Outcome Worker(const fs::path& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"worker", "--run", run.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments);
  }
};

TEST_F(Workers, GiveTheSameBytesAsOneProcess) {
  for (const std::string algorithm : {"cma-es", "classic"}) {
    const std::vector<std::string> few{"--generations", "2"};
    ASSERT_LE(Search(algorithm, algorithm + "0", few).code, 1);
    for (const std::string count : {"1", "4"}) {
      const Outcome outcome =
          Search(algorithm, algorithm + count, {"--generations", "2", "--workers", count});
      ASSERT_LE(outcome.code, 1) << outcome.err;
      EXPECT_THAT(outcome.err, HasSubstr("has joined"));
      EXPECT_TRUE(Champion(algorithm + count) == Champion(algorithm + "0")) << algorithm << " " << count;
    }
  }
}

TEST_F(Workers, TakeOverFromThoseThatAreKilled) {
  const std::vector<std::string> many{"--evaluations", "90", "--guide-items", "0"};
  ASSERT_LE(Search("cma-es", "whole", many).code, 1);

  std::vector<std::string> arguments =
      Arguments("cma-es", "output", {"--evaluations", "90", "--guide-items", "0", "--external-workers"});
  auto search = Start(arguments, "search");
  const fs::path run = RunFolder("output");
  auto first = Start({"worker", "--run", run.string()}, "first");
  WaitFor([&] { return ErrorOf("search").find("proposals") != std::string::npos; });
  kill(first->pid(), SIGKILL);
  EXPECT_EQ(first->Wait().code, -SIGKILL);
  WaitFor([&] { return ErrorOf("search").find("is lost") != std::string::npos; });
  auto second = Start({"worker", "--run", run.string()}, "second");
  WaitFor([&] { return ErrorOf("search").rfind("has joined") > ErrorOf("search").find("is lost"); });
  kill(search->pid(), SIGKILL);
  EXPECT_EQ(search->Wait().code, -SIGKILL);

  const Outcome resumed = Run({"evo", "--resume", run.filename().string(), "--output-dir", Path("output"),
                               "--external-workers", "--workers", "1"});
  EXPECT_LE(resumed.code, 1) << resumed.err;
  EXPECT_EQ(second->Wait().code, 0) << ErrorOf("second");  // it waited for the new coordinator
  EXPECT_THAT(ErrorOf("second"), HasSubstr("evaluations done"));
  EXPECT_TRUE(Champion("output") == Champion("whole"));
}

TEST_F(Workers, OfAnotherSearchAreTurnedAway) {
  auto search = Start(Arguments("random", "output", {"--external-workers"}), "search");
  const fs::path run = RunFolder("output");
  const Outcome other = Worker(run, {"--base-models", b_ + "," + a_});
  EXPECT_EQ(other.code, 3) << other.err;
  EXPECT_THAT(other.err, HasSubstr("models or items hash to"));

  // A model that is not there any more: this worker cannot start; the search goes on when one can.
  fs::rename(a_, a_ + ".away");
  const Outcome without = Worker(run);
  EXPECT_EQ(without.code, 3);
  EXPECT_THAT(without.err, HasSubstr(a_));
  fs::rename(a_ + ".away", a_);
  EXPECT_EQ(Worker(run).code, 0);
  EXPECT_LE(search->Wait().code, 1) << ErrorOf("search");
}

TEST_F(Workers, InOrderOfArrivalTheSearchGoesOnToo) {
  const Outcome outcome = Search("cma-es", "output", {"--workers", "3", "--order", "arrival"});
  ASSERT_LE(outcome.code, 1) << outcome.err;
  EXPECT_EQ(Result(outcome)["algorithm"], "cma-es");
}

TEST_F(Workers, AsRanksOfMpirunGiveTheSameBytes) {
  if (std::system("command -v mpirun > /dev/null") != 0) GTEST_SKIP() << "mpirun is not installed";
  if (!fs::exists(fs::path(FORGE_PROGRAM).parent_path() / "libforge_mpi.so"))
    GTEST_SKIP() << "libforge_mpi.so is not built: no MPI was found";
  ASSERT_LE(Search("cma-es", "whole").code, 1);
  auto search = Start(Arguments("cma-es", "output", {"--external-workers"}), "search");
  const fs::path run = RunFolder("output");
  const std::string command = "timeout 60 mpirun --allow-run-as-root --oversubscribe -n 3 " FORGE_PROGRAM
                              " worker --run " +
                              run.string() + " > " + Path("ranks") + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << io::ReadFile(folder_ / "ranks");
  EXPECT_LE(search->Wait().code, 1) << ErrorOf("search");
  const std::string log = ErrorOf("search");
  EXPECT_NE(log.find("has joined"), log.rfind("has joined")) << "two ranks work";
  EXPECT_TRUE(Champion("output") == Champion("whole"));
}

TEST_F(Workers, SayWhatIsWrongWithTheirRun) {
  EXPECT_EQ(Run({"worker"}).code, 2);
  const Outcome nothing = Worker(folder_ / "nothing");
  EXPECT_EQ(nothing.code, 3);
  EXPECT_THAT(nothing.err, HasSubstr("it is no folder of a run"));
  ASSERT_LE(Search("random", "output").code, 1);  // a run without workers
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / "output"))
    if (fs::exists(entry.path() / "config.json")) {
      const Outcome alone = Worker(entry.path(), {"--patience-minutes", "0.01"});
      EXPECT_EQ(alone.code, 4);
      EXPECT_THAT(alone.err, HasSubstr("no search has begun"));
    }
  EXPECT_EQ(Search("random", "other", {"--workers", "-1"}).code, 2);
}

}  // namespace
}  // namespace forge
