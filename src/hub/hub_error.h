// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "hub/hub_settings.h"
#include "hub/repo.h"
#include "io/http_client.h"

namespace forge::hub {

/// Turns an answer that is no success into the Error the user sees: who was asked, what the hub's
/// X-Error-Code and X-Error-Message say, and what to do: check the name, accept the terms of a gated
/// repository, set HF_TOKEN, wait, --offline. Access and names are kInput, the network and the server
/// kEnvironment.
[[noreturn]] void ThrowHubError(const HubSettings& settings, const RepoReference& reference,
                                const std::string& what, const io::HttpResponse& answer);

/// `unit` is kept, and the same command goes on.
[[noreturn]] void ThrowStopped(const char* kept);

}  // namespace forge::hub
