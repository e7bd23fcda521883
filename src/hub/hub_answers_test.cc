// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/json_file.h"

namespace forge::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kSha(40, 'a');

std::string AnswerWith(const io::Json& names) {
  io::Json siblings = io::Json::array();
  for (const io::Json& name : names) siblings.push_back({{"rfilename", name}});
  return io::Json{{"sha", kSha}, {"siblings", siblings}}.dump(-1, ' ', false,
                                                              io::Json::error_handler_t::replace);
}

std::string ErrorOf(const std::string& body) {
  try {
    ParseRevisionInfo(body, "http://hub/api");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << body;
  return "";
}

TEST(RevisionInfo, HoldsTheCommitAndTheFiles) {
  const RevisionInfo info =
      ParseRevisionInfo(R"({"id": "o/n", "sha": ")" + kSha + R"(", "gated": false, "siblings": [
          {"rfilename": "config.json", "size": 3}, {"rfilename": "a/b c/\u00e4.json"}]})",
                        "hub");
  EXPECT_EQ(info.commit, kSha);
  EXPECT_THAT(info.files, ElementsAre("config.json", "a/b c/ä.json"));
}

TEST(RevisionInfo, NeverNamesAFileOutsideItsFolder) {
  for (const std::string& name :
       {std::string("../x"), std::string("a/../../x"), std::string("/etc/passwd"), std::string("a//b"),
        std::string(""), std::string("."), std::string(".."), std::string("a/"), std::string("./a"),
        std::string("a/./b"), std::string("a\nb"), std::string("a\0b", 3), std::string("\x1b[2J"),
        std::string(256, 'x'), std::string("x/") + std::string(5000, '/')}) {
    const std::string error = ErrorOf(AnswerWith({"config.json", name}));
    EXPECT_THAT(error, HasSubstr("would not stay in its folder")) << name;
    EXPECT_THAT(error, Not(HasSubstr("\x1b"))) << "it would reach the terminal";
  }
  // Odd, but inside.
  EXPECT_THAT(ParseRevisionInfo(AnswerWith({"..a", "b..", "a\\b", "-rf", "~", "$HOME"}), "hub").files,
              ElementsAre("..a", "b..", "a\\b", "-rf", "~", "$HOME"));
}

TEST(RevisionInfo, TakesANameOnceAndNoFileThatIsAFolder) {
  EXPECT_THAT(ParseRevisionInfo(AnswerWith({"a", "b", "a"}), "hub").files, ElementsAre("a", "b"));
  EXPECT_THAT(ErrorOf(AnswerWith({"a/b/c", "a/b"})), HasSubstr("is a file and a folder"));
}

TEST(RevisionInfo, RefusesWhatIsNoAnswerOfAHub) {
  for (const char* body : {"", "<html>login</html>", "[]", "null", "{}", R"({"sha": 7, "siblings": []})",
                           R"({"sha": "main", "siblings": []})",
                           R"({"sha": "../../../../../../../../../../../etc/xx", "siblings": []})"})
    EXPECT_NE(ErrorOf(body), "");
  const std::string sha = R"({"sha": ")" + kSha + R"(", )";
  for (const char* rest : {"\"x\": 1}", R"("siblings": {}})", R"("siblings": [1]})", R"("siblings": [{}]})",
                           R"("siblings": [{"rfilename": ["a"]}]})", R"("siblings": [)"})
    EXPECT_NE(ErrorOf(sha + rest), "");
  EXPECT_NE(ErrorOf(std::string(100'000, '[')), "");
  EXPECT_NE(ErrorOf(R"({"sha": "\ud800", "siblings": [{"rfilename": "\ud800"}]})"), "");
}

io::HttpResponse Head(std::map<std::string, std::string> headers, int status = 200) {
  headers.emplace("x-repo-commit", kSha);
  return {.status = status, .url = "http://hub/f", .headers = std::move(headers)};
}

TEST(FileInfo, PrefersWhatTheHubSaysOfALinkedFile) {
  const std::string sha256(64, 'b'), git(40, 'c');
  const FileInfo linked = ParseFileInfo("f", kSha,
                                        Head({{"x-linked-etag", "\"" + sha256 + "\""},
                                              {"x-linked-size", "5000000000"},
                                              {"etag", "\"" + git + "\""},
                                              {"content-length", "17"}},
                                             302));
  EXPECT_EQ(linked.etag, sha256);
  EXPECT_EQ(linked.bytes, 5'000'000'000u);
  EXPECT_TRUE(linked.has_sha256());
  const FileInfo plain =
      ParseFileInfo("f", kSha, Head({{"etag", "W/\"" + git + "\""}, {"content-length", "17"}}));
  EXPECT_EQ(plain.etag, git);
  EXPECT_EQ(plain.bytes, 17u);
  EXPECT_FALSE(plain.has_sha256());
}

TEST(FileInfo, RefusesWhatCannotBeCheckedOrIsOfAnotherCommit) {
  const std::string git(40, 'c');
  const auto refuses = [](const io::HttpResponse& head) {
    try {
      ParseFileInfo("f", kSha, head);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  const auto head = [&](const std::string& etag, const std::string& size) {
    return Head({{"etag", etag}, {"content-length", size}});
  };
  EXPECT_FALSE(refuses(head(git, "17")));
  for (const char* etag : {"", "\"\"", "abc", "../../../../../../../../../../../../../x", "\"d41d8cd98f-8\""})
    EXPECT_TRUE(refuses(head(etag, "17"))) << etag;
  EXPECT_TRUE(refuses(head(std::string(40, 'C'), "17"))) << "no two names for one blob";
  for (const char* size : {"", "-1", "1e9", "17 ", "0x11", "99999999999999999999", "18446744073709551615"})
    EXPECT_TRUE(refuses(head(git, size))) << size;
  EXPECT_TRUE(
      refuses(Head({{"x-repo-commit", std::string(40, 'd')}, {"etag", git}, {"content-length", "17"}})));
  EXPECT_TRUE(refuses({.status = 200, .headers = {{"etag", git}, {"content-length", "17"}}}));
  EXPECT_TRUE(refuses(Head({{"etag", git}, {"content-length", "17"}}, 302)))
      << "the length of the redirect's text";
}

}  // namespace
}  // namespace forge::hub
