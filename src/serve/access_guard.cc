// SPDX-License-Identifier: Apache-2.0
#include "serve/access_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "http/http_server.h"
#include "http/request_guard.h"

namespace forge::serve {
namespace {

struct Route {
  const char* path;
  const char* methods;
  bool needs_key;
};
constexpr Route kRoutes[] = {
    {"/", "GET, HEAD", false},         {"/favicon.ico", "GET, HEAD", false},
    {"/health", "GET, HEAD", false},   {"/metrics", "GET, HEAD", true},
    {"/v1/models", "GET, HEAD", true}, {"/v1/models/", "GET, HEAD", true},  // and a name
    {"/v1/completions", "POST", true}, {"/v1/chat/completions", "POST", true},
};

const Route* FindRoute(const std::string& path) {
  for (const Route& route : kRoutes)
    if (path == route.path || (std::string_view(route.path) == "/v1/models/" && path.starts_with(route.path)))
      return &route;
  return nullptr;
}

/// Takes the same time wherever the texts differ.
bool SameKey(std::string_view given, std::string_view key) {
  unsigned char difference = given.size() != key.size();
  for (std::size_t i = 0; i < given.size(); ++i)
    difference |= static_cast<unsigned char>(given[i] ^ key[i % key.size()]);
  return difference == 0;
}

std::optional<ApiError> OriginProblem(const AccessRules& rules, const httplib::Request& request) {
  const std::vector<std::string> hosts = http::HeaderValues(request, "Host");
  std::vector<std::string> origins = http::HeaderValues(request, "Origin");
  if (AllowedOrigin(rules, request)) origins.clear();
  std::optional<std::string> reason;
  if (rules.is_loopback)
    reason = http::RefusalReason(hosts, origins, rules.port);
  else if (!origins.empty() && (hosts.size() != 1 || origins.size() != 1 ||
                                (origins[0] != "http://" + hosts[0] && origins[0] != "https://" + hosts[0])))
    reason = "the request comes from a foreign page";
  if (!reason) return std::nullopt;
  return ApiError{.status = 403,
                  .message = "refused: " + *reason + "; --cors-origin allows pages of another origin",
                  .type = "permission_error",
                  .code = "foreign_origin"};
}

std::optional<ApiError> KeyProblem(const AccessRules& rules, const httplib::Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string given = request.get_header_value("Authorization");
  if (given.starts_with(kScheme) && SameKey(std::string_view(given).substr(kScheme.size()), rules.api_key))
    return std::nullopt;
  return ApiError{.status = 401,
                  .message = given.empty() ? "this server asks for a key; send Authorization: Bearer KEY"
                                           : "the key is wrong",
                  .type = "authentication_error",
                  .code = "invalid_api_key"};
}

std::optional<ApiError> BodyProblem(const AccessRules& rules, const httplib::Request& request) {
  const auto refuse = [](int status, std::string message, std::string code) {
    return ApiError{.status = status, .message = std::move(message), .code = std::move(code)};
  };
  const std::string type = request.get_header_value("Content-Type");
  if (type.starts_with("multipart/") || request.has_header("Content-Encoding"))
    return refuse(415, "the body must be plain JSON: application/json, not compressed, no form", "not_json");
  const std::vector<std::string> lengths = http::HeaderValues(request, "Content-Length");
  if (lengths.empty()) {
    if (request.get_header_value("Transfer-Encoding") == "chunked")
      return std::nullopt;  // counted as it comes
    return refuse(411, "the body has no Content-Length", "length_required");
  }
  std::size_t length = 0;
  const char* const end = lengths[0].data() + lengths[0].size();
  const auto [rest, problem] = std::from_chars(lengths[0].data(), end, length);
  if (lengths.size() != 1 || request.has_header("Transfer-Encoding") || rest != end ||
      (problem != std::errc() && problem != std::errc::result_out_of_range))
    return refuse(400, "the length of the body is not clear", "bad_length");
  if (problem != std::errc() || length > rules.max_body_bytes)
    return refuse(413,
                  fmt::format("the body has {} bytes; this server takes {} (--max-body-mb)", lengths[0],
                              rules.max_body_bytes),
                  "body_too_large");
  return std::nullopt;
}

}  // namespace

std::optional<std::string> AllowedOrigin(const AccessRules& rules, const httplib::Request& request) {
  const std::vector<std::string> origins = http::HeaderValues(request, "Origin");
  if (origins.size() != 1) return std::nullopt;
  for (const std::string& allowed : rules.cors_origins)
    if (allowed == "*" || allowed == origins[0]) return allowed == "*" ? "*" : origins[0];
  return std::nullopt;
}

std::string RouteOf(const std::string& path) {
  const Route* route = FindRoute(path);
  return route == nullptr ? "other" : route->path;
}

std::optional<ApiError> Refusal(const AccessRules& rules, const httplib::Request& request,
                                httplib::Response& response) {
  if (auto problem = OriginProblem(rules, request)) return problem;
  if (request.method == "OPTIONS" && AllowedOrigin(rules, request)) return std::nullopt;
  const Route* route = FindRoute(request.path);
  if (!rules.api_key.empty() && (route == nullptr || route->needs_key))
    if (auto problem = KeyProblem(rules, request)) {
      response.set_header("WWW-Authenticate", "Bearer");
      return problem;
    }
  if (route == nullptr)
    return ApiError{.status = 404,
                    .message = request.path.substr(0, 200) +
                               " is not there; there are /v1/models, /v1/completions, /v1/chat/completions, "
                               "/health, /metrics and the page /",
                    .code = "unknown_path"};
  if (std::string_view(route->methods).find(request.method) == std::string_view::npos) {
    response.set_header("Allow", route->methods);
    return ApiError{.status = 405,
                    .message = fmt::format("{} is not possible here; use {}", request.method, route->methods),
                    .code = "wrong_method"};
  }
  return request.method == "POST" ? BodyProblem(rules, request) : std::nullopt;
}

}  // namespace forge::serve
