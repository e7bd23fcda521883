// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_client.h"

#include <fmt/format.h>

#include "hub/hub_error.h"

namespace forge::hub {

constexpr int kMaxRedirects = 5;

std::string FileUrl(const HubSettings& settings, const Repo& repo, const std::string& commit,
                    const std::string& name) {
  return fmt::format("{}{}/resolve/{}/{}", settings.endpoint, repo.PagePath(), commit,
                     EscapeForUrl(name, false));
}

io::HttpClientOptions ClientOptions(const HubSettings& settings, const StopToken& stop) {
  return {.connect_timeout_seconds = settings.connect_timeout_seconds,
          .stall_timeout_seconds = settings.stall_timeout_seconds,
          .user_agent = "forge",
          .certificates = settings.certificates,
          .stop = &stop};
}

HubClient::HubClient(const HubSettings& settings, const StopToken& stop,
                     std::function<void(const std::string&)> say)
    : settings_(settings), stop_(stop), say_(std::move(say)), client_(ClientOptions(settings, stop)) {}

io::HttpResponse HubClient::Ask(const io::HttpRequest& request) {
  Retries retries(settings_.retry, stop_);
  io::HttpResponse answer;
  do answer = client_.Send(request);
  while (retries.Again(answer, say_));
  if (stop_.stop_requested()) ThrowStopped("what has come");
  return answer;
}

RevisionInfo HubClient::Resolve(const RepoReference& reference) {
  const std::string url = fmt::format("{}{}/revision/{}", settings_.endpoint, reference.repo.ApiPath(),
                                      EscapeForUrl(reference.revision, true));
  const io::HttpResponse answer = Ask({.url = url, .bearer_token = settings_.token});
  if (answer.failure != io::HttpFailure::kNone || answer.status != 200)
    ThrowHubError(settings_, reference, "cannot find " + reference.repo.id + " on the hub", answer);
  return ParseRevisionInfo(answer.body, url);
}

FileInfo HubClient::LookUp(const RepoReference& reference, const std::string& commit,
                           const std::string& name) {
  io::HttpRequest request{.url = FileUrl(settings_, reference.repo, commit, name),
                          .head = true,
                          .bearer_token = settings_.token,
                          .redirects = io::Redirects::kNone};
  io::HttpResponse answer = Ask(request);
  // The redirect to where a large file lies tells its checksum and size; that place does not. Other
  // redirects, of renamed repositories and of mirrors, say nothing and are followed.
  for (int hop = 0; hop < kMaxRedirects && !answer.redirect_url.empty() && !answer.Header("x-linked-etag");
       ++hop) {
    if (!io::HaveSameOrigin(request.url, answer.redirect_url)) request.bearer_token.clear();
    request.url = answer.redirect_url;
    answer = Ask(request);
  }
  if (answer.failure != io::HttpFailure::kNone || answer.status / 100 > 3)
    ThrowHubError(settings_, reference, fmt::format("cannot fetch {} of {}", name, reference.repo.id),
                  answer);
  return ParseFileInfo(name, commit, answer);
}

}  // namespace forge::hub
