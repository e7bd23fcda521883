// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_settings.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

/// The first of these that is set and not empty.
std::optional<std::string> FirstOf(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (auto value = environment(name); value && !value->empty()) return value;
  return std::nullopt;
}

bool IsTrue(const std::optional<std::string>& value) {
  std::string word = value.value_or("");
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return word == "1" || word == "ON" || word == "YES" || word == "TRUE";
}

fs::path ExpandHome(const std::string& path, const Environment& environment) {
  if (path != "~" && !path.starts_with("~/")) return path;
  return environment("HOME").value_or("/") + path.substr(1);
}

std::string Trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

fs::path Home(const Environment& environment) {
  const fs::path caches =
      FirstOf(environment, {"XDG_CACHE_HOME"}).value_or(environment("HOME").value_or("/") + "/.cache");
  return ExpandHome(FirstOf(environment, {"HF_HOME"}).value_or((caches / "huggingface").string()),
                    environment);
}

std::string ReadToken(const Environment& environment) {
  std::string token = Trimmed(FirstOf(environment, {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}).value_or(""));
  std::string source = "HF_TOKEN";
  if (token.empty() && !IsTrue(environment("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    const fs::path path =
        ExpandHome(FirstOf(environment, {"HF_TOKEN_PATH"}).value_or((Home(environment) / "token").string()),
                   environment);
    std::error_code missing;
    if (!fs::is_regular_file(path, missing)) return "";
    source = path.string();
    token = Trimmed(io::ReadFile(path));
  }
  // Anything else in it would end the header line that it is sent in.
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c > '~'; }))
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot use the token in " + source,
                 .why = "it has characters that no token has",
                 .fix = "copy it again from https://huggingface.co/settings/tokens"});
  return token;
}

double ReadSeconds(const Environment& environment, const char* name, double otherwise) {
  const double seconds = std::atof(environment(name).value_or("").c_str());
  return seconds > 0 ? seconds : otherwise;
}

}  // namespace

std::optional<std::string> ReadVariable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

fs::path CacheFolder(const Environment& environment) {
  return ExpandHome(FirstOf(environment, {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
                        .value_or((Home(environment) / "hub").string()),
                    environment);
}

HubSettings ReadHubSettings(const Environment& environment) {
  HubSettings settings;
  settings.endpoint = FirstOf(environment, {"HF_ENDPOINT"}).value_or(settings.endpoint);
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  if (!settings.endpoint.starts_with("https://") && !settings.endpoint.starts_with("http://"))
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot use HF_ENDPOINT=" + settings.endpoint,
                 .why = "it must begin with https:// or http://",
                 .fix = "unset HF_ENDPOINT for https://huggingface.co"});
  settings.cache = CacheFolder(environment);
  settings.token = ReadToken(environment);
  settings.certificates =
      FirstOf(environment, {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}).value_or("");
  settings.offline = IsTrue(FirstOf(environment, {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}));
  settings.connect_timeout_seconds =
      ReadSeconds(environment, "HF_HUB_ETAG_TIMEOUT", settings.connect_timeout_seconds);
  settings.stall_timeout_seconds =
      ReadSeconds(environment, "HF_HUB_DOWNLOAD_TIMEOUT", settings.stall_timeout_seconds);
  return settings;
}

}  // namespace forge::hub
