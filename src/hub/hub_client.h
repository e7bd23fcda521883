// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "base/stop_token.h"
#include "hub/hub_answers.h"
#include "hub/hub_settings.h"
#include "hub/repo.h"
#include "io/http_client.h"

namespace forge::hub {

/// The address that a file is fetched from.
std::string FileUrl(const HubSettings& settings, const Repo& repo, const std::string& commit,
                    const std::string& name);

/// The client that requests to this hub are sent with.
io::HttpClientOptions ClientOptions(const HubSettings& settings, const StopToken& stop);

/// Asks the hub what there is. Trouble that may pass is waited out (RetryPolicy); `say` is told about it.
/// Throws Error as ThrowHubError and hub_answers.h have it.
class HubClient {
 public:
  HubClient(const HubSettings& settings, const StopToken& stop, std::function<void(const std::string&)> say);

  /// The commit that a revision means now, and its files.
  RevisionInfo Resolve(const RepoReference& reference);
  FileInfo LookUp(const RepoReference& reference, const std::string& commit, const std::string& name);

 private:
  io::HttpResponse Ask(const io::HttpRequest& request);

  const HubSettings& settings_;
  const StopToken& stop_;
  std::function<void(const std::string&)> say_;
  io::HttpClient client_;
};

}  // namespace forge::hub
