// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "io/atomic_file.h"
#include "jobs/mailbox_coordinator.h"
#include "jobs/mailbox_worker.h"
#include "jobs/worker_loop.h"
#include "track/process_id.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Mailbox : public ::testing::Test {
 protected:
  fs::path workers() const { return folder_.path() / "workers"; }
  std::unique_ptr<MailboxCoordinatorPort> NewCoordinator() {
    return std::make_unique<MailboxCoordinatorPort>(
        workers(), [this](const std::string& line) { log_.push_back(line); });
  }
  static Hello HelloOf(const std::string& process) {
    return {.identity = {.version = "1", .inputs = "abc"},
            .host = "h",
            .pid = 7,
            .process = process,
            .threads = 3};
  }
  static Hello OwnHello() { return HelloOf(track::OwnProcessId()); }
  /// Of a process that has ended.
  static Hello DeadHello() {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    const std::string process = track::ProcessId(child);
    waitpid(child, nullptr, 0);
    return HelloOf(process);
  }
  static Hello StrangersHello() { return HelloOf("another machine:1:7:9"); }
  std::unique_ptr<MailboxWorkerPort> NewWorker(const std::string& name, const Hello& hello) {
    auto worker = std::make_unique<MailboxWorkerPort>(workers(), name, [](double) {});
    worker->Send(hello);
    return worker;
  }
  /// The next message that is no Presence.
  static std::optional<ToWorker> Receive(MailboxWorkerPort& worker) {
    for (;;) {
      std::optional<ToWorker> message = worker.Receive(0);
      if (!message || !std::holds_alternative<Presence>(*message)) return message;
    }
  }
  static std::string JobOf(MailboxWorkerPort& worker) {
    const std::optional<ToWorker> message = Receive(worker);
    return message && std::holds_alternative<Job>(*message) ? std::get<Job>(*message).key : "no job";
  }
  /// "w1 joined", "w1 result a", ... of one Poll, a second after the last.
  std::vector<std::string> Poll(MailboxCoordinatorPort& port) {
    std::vector<std::string> lines;
    for (const Event& event : port.Poll(now_ += 1)) {
      std::string line = event.worker + " ";
      if (const auto* joined = std::get_if<Joined>(&event.what)) {
        line += joined->alive ? "joined" : "was found";
        for (const std::string& key : joined->in_hand) line += " with " + key;
      } else if (const auto* result = std::get_if<Result>(&event.what)) {
        line += "result " + result->key + " " + result->value.dump();
      } else if (const auto* failure = std::get_if<Failure>(&event.what)) {
        line += "failure " + failure->key + " " + failure->error.what;
      } else if (std::holds_alternative<Heartbeat>(event.what)) {
        line += "heartbeat";
      } else if (std::holds_alternative<Goodbye>(event.what)) {
        line += "goodbye";
      } else if (const auto* gone = std::get_if<Gone>(&event.what)) {
        line += "gone: " + gone->why;
      } else if (const auto* unreadable = std::get_if<Unreadable>(&event.what)) {
        line += "unreadable: " + unreadable->why;
      }
      lines.push_back(line);
    }
    return lines;
  }
  std::vector<std::string> FilesOf(const std::string& worker) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(workers() / worker))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  const track::TestFolder folder_;
  std::vector<std::string> log_;
  double now_ = 0;
};

TEST_F(Mailbox, CarriesJobsThereAndResultsBack) {
  auto coordinator = NewCoordinator();
  EXPECT_THAT(Poll(*coordinator), IsEmpty());
  auto worker = NewWorker("w1", OwnHello());
  EXPECT_THAT(Poll(*coordinator), ElementsAre("w1 joined"));
  coordinator->Send("w1", Job{"a", {{"n", 1}}});
  coordinator->Send("w1", Job{"b", {{"n", 2}}});
  const std::optional<ToWorker> first = Receive(*worker);
  EXPECT_EQ(std::get<Job>(*first).key, "a");
  EXPECT_EQ(std::get<Job>(*first).what, (io::Json{{"n", 1}}));
  worker->Send(Heartbeat{});
  EXPECT_THAT(Poll(*coordinator), ElementsAre("w1 heartbeat"));
  worker->Send(Result{"a", {{"score", 0.1}}, 2.5});
  EXPECT_EQ(JobOf(*worker), "b");
  worker->Send(Failure{"b", {.what = "no such model"}});
  EXPECT_THAT(Poll(*coordinator), ElementsAre(R"(w1 result a {"score":0.1})", "w1 failure b no such model"));
  EXPECT_THAT(FilesOf("w1"), ElementsAre("heartbeat", "hello.json", "job-1.json", "job-2.json",
                                         "result-1.json", "result-2.json"));
  EXPECT_THAT(Poll(*coordinator), IsEmpty());  // given once
  coordinator->Settle();
  EXPECT_THAT(FilesOf("w1"), ElementsAre("heartbeat", "hello.json"));
  worker->Send(Goodbye{});
  EXPECT_THAT(Poll(*coordinator), ElementsAre("w1 goodbye"));
  coordinator->Settle();
  EXPECT_FALSE(fs::exists(workers() / "w1"));
}

TEST_F(Mailbox, TakesBackAJobThatIsNotBegun) {
  auto coordinator = NewCoordinator();
  auto worker = NewWorker("w1", OwnHello());
  Poll(*coordinator);
  for (const char* key : {"a", "b", "c"}) coordinator->Send("w1", Job{key, io::Json::object()});
  EXPECT_EQ(JobOf(*worker), "a");
  coordinator->Withdraw("w1", "b");
  EXPECT_EQ(JobOf(*worker), "c");
  EXPECT_EQ(JobOf(*worker), "no job");
}

TEST_F(Mailbox, KeepsResultsAndJobsForTheNextCoordinator) {
  auto first = NewCoordinator();
  auto worker = NewWorker("w1", OwnHello());
  Poll(*first);
  for (const char* key : {"a", "b", "c"}) first->Send("w1", Job{key, io::Json::object()});
  JobOf(*worker);
  worker->Send(Result{"a", io::Json::object(), 1});
  EXPECT_THAT(Poll(*first), ElementsAre("w1 result a {}"));
  first.reset();  // killed before it could store the result
  JobOf(*worker);
  worker->Send(Result{"b", io::Json::object(), 1});
  auto second = NewCoordinator();
  EXPECT_THAT(Poll(*second), ElementsAre("w1 joined with c", "w1 result a {}", "w1 result b {}"));
  second->Settle();
  second->Send("w1", Job{"d", io::Json::object()});
  EXPECT_EQ(JobOf(*worker), "c");
  EXPECT_EQ(JobOf(*worker), "d");
}

TEST_F(Mailbox, GoesOnWithNumbersThatTheWorkerHasNotUsed) {
  auto first = NewCoordinator();
  auto worker = NewWorker("w1", OwnHello());
  Poll(*first);
  first->Send("w1", Job{"a", io::Json::object()});
  JobOf(*worker);
  worker->Send(Result{"a", io::Json::object(), 1});
  worker->Send(Heartbeat{});
  Poll(*first);
  first->Settle();  // no file is left that tells of job 1
  first.reset();
  auto second = NewCoordinator();
  Poll(*second);
  second->Send("w1", Job{"b", io::Json::object()});
  EXPECT_EQ(JobOf(*worker), "b");
}

TEST_F(Mailbox, KnowsWhichWorkersOfAnEarlierTimeAreAlive) {
  auto alive = NewWorker("alive", OwnHello());
  auto dead = NewWorker("dead", DeadHello());
  auto stranger = NewWorker("stranger", StrangersHello());
  auto coordinator = NewCoordinator();
  EXPECT_THAT(Poll(*coordinator),
              ::testing::UnorderedElementsAre("alive joined", "dead was found",
                                              "dead gone: its process 7 has ended", "stranger was found"));
  EXPECT_THAT(Poll(*coordinator), IsEmpty());
  stranger->Send(Heartbeat{});
  EXPECT_THAT(Poll(*coordinator), ElementsAre("stranger heartbeat"));
  coordinator->Forget("dead");
  EXPECT_FALSE(fs::exists(workers() / "dead"));
}

TEST_F(Mailbox, TellsAWorkerWhyItIsRefusedAndToStop) {
  auto coordinator = NewCoordinator();
  auto refused = NewWorker("w1", OwnHello());
  auto stopped = NewWorker("w2", OwnHello());
  Poll(*coordinator);
  coordinator->Send("w1",
                    Refusal{{.kind = ErrorKind::kInput, .what = "no", .why = "another version", .fix = "x"}});
  coordinator->Send("w2", Stop{"it is done"});
  EXPECT_EQ(std::get<Refusal>(*Receive(*refused)).reason.why, "another version");
  EXPECT_EQ(std::get<Stop>(*Receive(*stopped)).reason, "it is done");
  refused->Send(Goodbye{});
  stopped->Send(Goodbye{});
  EXPECT_FALSE(fs::exists(workers() / "w1"));
  EXPECT_FALSE(fs::exists(workers() / "w2"));
}

TEST_F(Mailbox, LeavesUnreadResultsWhereTheNextCoordinatorFindsThem) {
  auto first = NewCoordinator();
  auto worker = NewWorker("w1", OwnHello());
  Poll(*first);
  first->Send("w1", Job{"a", io::Json::object()});
  JobOf(*worker);
  worker->Send(Result{"a", io::Json::object(), 1});
  first->Send("w1", Stop{"interrupted"});
  first.reset();
  EXPECT_TRUE(std::holds_alternative<Stop>(*Receive(*worker)));
  worker->Send(Goodbye{});
  auto second = NewCoordinator();
  EXPECT_THAT(Poll(*second), ElementsAre("w1 joined", "w1 result a {}", "w1 goodbye"));
}

TEST_F(Mailbox, DoesNotStopWorkersThatHaveNotYetReadWhatAnEarlierCoordinatorSaid) {
  auto first = NewCoordinator();
  auto worker = NewWorker("w1", OwnHello());
  Poll(*first);
  first->Send("w1", Stop{"interrupted"});
  first.reset();
  auto second = NewCoordinator();
  EXPECT_THAT(Poll(*second), ElementsAre("w1 joined"));
  EXPECT_FALSE(Receive(*worker));
}

TEST_F(Mailbox, StopsAWorkerWhoseFolderIsRemoved) {
  auto worker = NewWorker("w1", OwnHello());
  fs::remove_all(workers() / "w1");
  EXPECT_TRUE(std::holds_alternative<Stop>(*Receive(*worker)));
  worker->Send(Goodbye{});  // does not bring it back
  EXPECT_FALSE(fs::exists(workers() / "w1"));
}

TEST_F(Mailbox, ShowsWorkersThatACoordinatorIsThere) {
  auto worker = NewWorker("w1", OwnHello());
  EXPECT_FALSE(worker->Receive(0));
  auto coordinator = NewCoordinator();
  EXPECT_TRUE(std::holds_alternative<Presence>(*worker->Receive(0)));
  coordinator.reset();
  while (worker->Receive(0)) {
  }
  auto late = NewWorker("w2", OwnHello());
  EXPECT_FALSE(late->Receive(0));  // only the file of one that has ended is there
  coordinator = NewCoordinator();
  EXPECT_TRUE(std::holds_alternative<Presence>(*late->Receive(0)));
}

TEST_F(Mailbox, LeavesWhatIsNotItsOwnAloneAndSaysSoOnce) {
  auto coordinator = NewCoordinator();
  fs::create_directories(workers() / ".hidden");
  fs::create_directories(workers() / "a b");
  fs::create_directory_symlink("/", workers() / "link");
  std::ofstream(workers() / "notes.txt") << "x";
  fs::create_directories(workers() / "empty");
  EXPECT_THAT(Poll(*coordinator), IsEmpty());
  EXPECT_THAT(Poll(*coordinator), IsEmpty());
  EXPECT_THAT(log_, SizeIs(4));
  for (const char* name : {".hidden", "a b", "link", "notes.txt"})
    EXPECT_TRUE(fs::exists(workers() / name)) << name;
}

TEST_F(Mailbox, TurnsAwayAWorkerWhoseHelloIsGarbage) {
  const std::string long_text(kMostMessageBytes + 1, 'x');
  int number = 0;
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string(R"({"kind":"heartbeat"})"),
        std::string(R"({"kind":"hello","version":1})"), std::string(100'000, '['),
        std::string("\0\xff\xfe", 3), long_text}) {
    const std::string name = "w" + std::to_string(++number);
    fs::create_directories(workers() / name);
    std::ofstream(workers() / name / "hello.json") << text;
    auto coordinator = NewCoordinator();
    EXPECT_THAT(Poll(*coordinator), ElementsAre(HasSubstr(name + " unreadable: cannot ")))
        << text.substr(0, 50);
    EXPECT_THAT(Poll(*coordinator), IsEmpty());
    coordinator->Send(name, Refusal{{.what = "no"}});
    EXPECT_TRUE(fs::exists(workers() / name / "refused.json"));
    fs::remove_all(workers() / name);
  }
}

TEST_F(Mailbox, TurnsAwayAWorkerWhoseResultIsGarbageAndKeepsIt) {
  struct Garbage {
    const char* why;
    std::function<void(const fs::path&)> make;
  };
  const std::vector<Garbage> kinds{
      {"parse error",
       [](const fs::path& file) { std::ofstream(file) << R"({"kind":"result","key":"a","value":)"; }},
      {"no \"version\"", [](const fs::path& file) { std::ofstream(file) << R"({"kind":"hello"})"; }},
      {"it is no result", [](const fs::path& file) { std::ofstream(file) << R"({"kind":"heartbeat"})"; }},
      {"it is no regular file", [](const fs::path& file) { fs::create_directory(file); }},
      {"it is a link", [](const fs::path& file) { fs::create_symlink("/etc/passwd", file); }},
      {"it is no regular file", [](const fs::path& file) { ASSERT_EQ(mkfifo(file.c_str(), 0600), 0); }},
      {"bytes; at most", [](const fs::path& file) {
         std::ofstream(file) << "x";
         fs::resize_file(file, kMostMessageBytes + 1);
       }}};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    SCOPED_TRACE(i);
    const std::string name = "w" + std::to_string(i);
    auto coordinator = NewCoordinator();
    auto worker = NewWorker(name, OwnHello());
    Poll(*coordinator);
    kinds[i].make(workers() / name / "result-1.json");
    EXPECT_THAT(Poll(*coordinator), ElementsAre(::testing::AllOf(HasSubstr(name + " unreadable: cannot "),
                                                                 HasSubstr(kinds[i].why))));
    EXPECT_TRUE(fs::exists(fs::symlink_status(workers() / name / "bad-result-1.json")));
    EXPECT_THAT(Poll(*coordinator), IsEmpty());
    fs::remove_all(workers() / name);
  }
}

TEST_F(Mailbox, IgnoresFilesThatAreNoMessagesAndHeartbeatsThatAreNone) {
  auto coordinator = NewCoordinator();
  auto worker = NewWorker("w1", OwnHello());
  Poll(*coordinator);
  for (const char* name : {"result-0.json", "result--1.json", "result-99999999999999999999.json",
                           "result-1.json.tmp", "result-01.json", "result-1x.json", "job-.json"})
    std::ofstream(workers() / "w1" / name) << "garbage";
  for (const char* text : {"", "x", "[1]", R"({"beat":"many"})", R"({"beat":5,"next":-1})"}) {
    io::WriteFileAtomically(workers() / "w1" / "heartbeat", text);
    EXPECT_THAT(Poll(*coordinator), IsEmpty()) << text;
  }
  coordinator->Send("w1", Job{"a", io::Json::object()});
  EXPECT_EQ(JobOf(*worker), "a");
}

TEST_F(Mailbox, GivesEachWorkerOfAMachineANameOfItsOwn) {
  const std::string a = NewWorkerName(), b = NewWorkerName();
  EXPECT_NE(a, b);
  EXPECT_TRUE(IsWorkerName(a)) << a;
  for (const char* bad : {"", ".", "..", ".x", "a/b", "a b", "é"}) EXPECT_FALSE(IsWorkerName(bad)) << bad;
  EXPECT_FALSE(IsWorkerName(std::string(101, 'a')));
}

}  // namespace
}  // namespace forge::jobs
