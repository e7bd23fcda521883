// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "hub/retry.h"

namespace forge::hub {

/// Where the hub is, who asks, and where the files go. The variables are those of huggingface_hub, so that
/// one set-up serves forge and Python:
///   HF_ENDPOINT            default https://huggingface.co
///   HF_TOKEN               else the text of HF_TOKEN_PATH, else of $HF_HOME/token
///   HF_HUB_CACHE           default $HF_HOME/hub
///   HF_HOME                default $XDG_CACHE_HOME/huggingface, or ~/.cache/huggingface
///   HF_HUB_OFFLINE         1, on, yes, true: no network (TRANSFORMERS_OFFLINE too)
///   REQUESTS_CA_BUNDLE     else CURL_CA_BUNDLE, else SSL_CERT_FILE: certificates to trust
///   HF_HUB_DOWNLOAD_TIMEOUT, HF_HUB_ETAG_TIMEOUT   seconds, for stalls and for connecting
struct HubSettings {
  std::string endpoint = "https://huggingface.co";  // no / at the end
  std::string token;                                // empty: none is sent
  std::filesystem::path cache;
  std::filesystem::path certificates;  // a file or folder; empty: what the system trusts
  bool offline = false;
  int connections = 4;
  /// Larger files are cut into ranges of this length, which come on different connections.
  std::uint64_t segment_bytes = 64ull << 20;
  double connect_timeout_seconds = 10, stall_timeout_seconds = 30;
  RetryPolicy retry;
};

/// The value of an environment variable, or nothing.
using Environment = std::function<std::optional<std::string>(const char* name)>;
std::optional<std::string> ReadVariable(const char* name);

/// The cache alone, for looking models up: it needs no token and no endpoint that can be used.
std::filesystem::path CacheFolder(const Environment& environment = ReadVariable);

/// Throws Error(kUsage) for an endpoint that is no http or https address, or a token that cannot be one.
HubSettings ReadHubSettings(const Environment& environment = ReadVariable);

}  // namespace forge::hub
