// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_settings.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

HubSettings With(const std::map<std::string, std::string>& variables) {
  return ReadHubSettings([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

// huggingface_hub/constants.py, 2.4.0
TEST(HubSettings, TakesTheCacheFromTheVariablesOfPython) {
  EXPECT_EQ(With({{"HOME", "/home/a"}}).cache, "/home/a/.cache/huggingface/hub");
  EXPECT_EQ(With({{"HOME", "/home/a"}, {"XDG_CACHE_HOME", "/x"}}).cache, "/x/huggingface/hub");
  EXPECT_EQ(With({{"HOME", "/home/a"}, {"HF_HOME", "~/hf"}}).cache, "/home/a/hf/hub");
  EXPECT_EQ(With({{"HF_HOME", "/h"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}).cache, "/old");
  EXPECT_EQ(With({{"HF_HOME", "/h"}, {"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HUB_CACHE", "/c"}}).cache, "/c");
  EXPECT_EQ(With({{"HF_HOME", ""}, {"HOME", "/home/a"}}).cache, "/home/a/.cache/huggingface/hub");
}

TEST(HubSettings, KnowWhetherToUseTheNetworkAndWhere) {
  EXPECT_EQ(With({}).endpoint, "https://huggingface.co");
  EXPECT_EQ(With({{"HF_ENDPOINT", "http://mirror:8080//"}}).endpoint, "http://mirror:8080");
  EXPECT_THROW(With({{"HF_ENDPOINT", "mirror"}}), Error);
  EXPECT_FALSE(With({}).offline);
  for (const char* word : {"1", "true", "YES", "On"})
    EXPECT_TRUE(With({{"HF_HUB_OFFLINE", word}}).offline) << word;
  EXPECT_TRUE(With({{"TRANSFORMERS_OFFLINE", "1"}}).offline);
  EXPECT_FALSE(With({{"HF_HUB_OFFLINE", "0"}, {"TRANSFORMERS_OFFLINE", "1"}}).offline);
  EXPECT_EQ(With({{"HF_HUB_DOWNLOAD_TIMEOUT", "60"}}).stall_timeout_seconds, 60);
}

TEST(HubSettings, FindTheTokenWhereThePythonToolsPutIt) {
  const fs::path home = fs::temp_directory_path() / ("forge-hub-settings-" + std::to_string(getpid()));
  fs::create_directories(home);
  EXPECT_EQ(With({{"HF_HOME", home}}).token, "");
  io::WriteFileAtomically(home / "token", "hf_file\n");
  io::WriteFileAtomically(home / "other", "hf_other");
  EXPECT_EQ(With({{"HF_HOME", home}}).token, "hf_file");
  EXPECT_EQ(With({{"HF_HOME", home}, {"HF_TOKEN", " hf_variable\n"}}).token, "hf_variable");
  EXPECT_EQ(With({{"HF_HOME", home}, {"HF_TOKEN_PATH", home / "other"}}).token, "hf_other");
  EXPECT_EQ(With({{"HF_HOME", home}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}).token, "");
  try {
    With({{"HF_TOKEN", "hf_a\r\nX-Header: b"}});
    ADD_FAILURE() << "it would end the header line";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_EQ(std::string(error.what()).find("hf_a"), std::string::npos) << "a token is not shown";
  }
  fs::remove_all(home);
}

}  // namespace
}  // namespace forge::hub
