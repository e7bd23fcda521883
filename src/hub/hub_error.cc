// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_error.h"

#include <fmt/format.h>

#include "base/error.h"
#include "hub/retry.h"

namespace forge::hub {
namespace {

constexpr std::size_t kMaxShownBytes = 200;

/// The hub's own words, without what would disturb a terminal.
std::string MessageOf(const io::HttpResponse& answer) {
  std::string message = answer.Header("x-error-message").value_or("").substr(0, kMaxShownBytes);
  for (char& c : message)
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = ' ';
  return message.empty() ? "" : fmt::format(": \"{}\"", message);
}

Error::Fields Refused(const HubSettings& settings, const RepoReference& reference, const std::string& code) {
  const std::string page = settings.endpoint + reference.repo.PagePath();
  if (code == "GatedRepo")
    return {.why = "its owner wants its terms accepted first",
            .fix = fmt::format("accept them at {}, then set HF_TOKEN to a token of that account", page)};
  if (settings.token.empty())
    return {.why = "no token was sent, and the hub tells nobody else whether it is private or not there",
            .fix = fmt::format("check the name at {}; if it is private, set HF_TOKEN", page)};
  return {.why = "the token that was sent does not open it",
          .fix = "check the name, and that the token in HF_TOKEN is valid and may read it"};
}

Error::Fields NotThere(const HubSettings& settings, const RepoReference& reference, const std::string& code) {
  if (code == "RevisionNotFound")
    return {.why = "it has no revision " + reference.revision,
            .fix = fmt::format("see {}{}/tree/main for its branches and tags", settings.endpoint,
                               reference.repo.PagePath())};
  if (code == "EntryNotFound")
    return {.why = "the file is not in this revision", .fix = "pull again, without @REVISION"};
  return {.why = fmt::format("there is no {} of that name{}",
                             reference.repo.kind == RepoKind::kModel ? "model" : "data set",
                             settings.token.empty() ? ", or it is private and no token was sent" : ""),
          .fix = fmt::format("check the name at {}{}", settings.endpoint, reference.repo.PagePath())};
}

Error::Fields NoAnswer(const HubSettings& settings, const io::HttpResponse& answer) {
  return {.kind = ErrorKind::kEnvironment,
          .why = DescribeTrouble(answer),
          .fix = answer.failure == io::HttpFailure::kUnreachable
                     ? fmt::format("check the network, the proxy and HF_ENDPOINT ({}); --offline takes what "
                                   "was pulled before",
                                   settings.endpoint)
                     : "try again later: what has come is kept, and the same command goes on from there"};
}

}  // namespace

void ThrowHubError(const HubSettings& settings, const RepoReference& reference, const std::string& what,
                   const io::HttpResponse& answer) {
  if (answer.failure == io::HttpFailure::kStopped) ThrowStopped("what has come");
  const std::string code = answer.Header("x-error-code").value_or("");
  Error::Fields fields;
  if (answer.failure != io::HttpFailure::kNone)
    fields = NoAnswer(settings, answer);
  else if (answer.status == 401 || answer.status == 403)
    fields = Refused(settings, reference, code);
  else if (answer.status == 404)
    fields = NotThere(settings, reference, code);
  else if (answer.status == 429)
    fields = {.kind = ErrorKind::kEnvironment,
              .why = "the hub wants fewer requests from here",
              .fix = answer.retry_after_seconds ? fmt::format("try again in {:g} s; what has come is kept",
                                                              *answer.retry_after_seconds)
                                                : "try again in a few minutes; what has come is kept"};
  else
    fields = NoAnswer(settings, answer);
  if (answer.status != 0 && answer.failure == io::HttpFailure::kNone)
    fields.why =
        fmt::format("{} answered {}{}: {}", settings.endpoint, answer.status, MessageOf(answer), fields.why);
  fields.what = what;
  throw Error(std::move(fields));
}

void ThrowStopped(const char* kept) {
  throw Error({.kind = ErrorKind::kInterrupted,
               .what = "stopped on request",
               .why = std::string(kept) + " is kept",
               .fix = "run the same command again to go on"});
}

}  // namespace forge::hub
