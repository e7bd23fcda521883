// SPDX-License-Identifier: Apache-2.0
#include "io/http_client.h"

#include <curl/curl.h>
#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <string_view>

#include "base/check.h"
#include "base/error.h"

namespace forge::io {
namespace {

constexpr char kLibrary[] = "libcurl.so.4";
constexpr int kMaxRedirects = 8;  // the hub uses one or two
constexpr std::size_t kMaxHeaderBytes = 256
                                        << 10;  // all headers of an answer; a hostile server's are endless
constexpr std::size_t kMaxMessageBytes = 64 << 10;  // of the body of an error, where a download was asked for
constexpr std::string_view kOurHeaders = "accept-encoding";

/// The functions of libcurl that are used here.
struct Curl {
  decltype(&curl_global_init) global_init;
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_reset) easy_reset;
  decltype(&curl_easy_setopt) set;
  decltype(&curl_easy_perform) perform;
  decltype(&curl_easy_getinfo) get_info;
  decltype(&curl_easy_strerror) describe;
  decltype(&curl_slist_append) list_append;
  decltype(&curl_slist_free_all) list_free;
  decltype(&curl_url) url;
  decltype(&curl_url_cleanup) url_cleanup;
  decltype(&curl_url_set) url_set;
  decltype(&curl_url_get) url_get;
  decltype(&curl_free) free_text;
};

Curl OpenCurl() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  const auto fail = [] {
    const char* reason = dlerror();
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot open " + std::string(kLibrary) + ", which the network is reached with",
                 .why = reason == nullptr ? "the library is not usable" : reason,
                 .fix = "install libcurl: apt-get install libcurl4"});
  };
  if (library == nullptr) fail();
  const auto load = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) fail();
  };
  Curl curl{};
  load(curl.global_init, "curl_global_init");
  load(curl.easy_init, "curl_easy_init");
  load(curl.easy_cleanup, "curl_easy_cleanup");
  load(curl.easy_reset, "curl_easy_reset");
  load(curl.set, "curl_easy_setopt");
  load(curl.perform, "curl_easy_perform");
  load(curl.get_info, "curl_easy_getinfo");
  load(curl.describe, "curl_easy_strerror");
  load(curl.list_append, "curl_slist_append");
  load(curl.list_free, "curl_slist_free_all");
  load(curl.url, "curl_url");
  load(curl.url_cleanup, "curl_url_cleanup");
  load(curl.url_set, "curl_url_set");
  load(curl.url_get, "curl_url_get");
  load(curl.free_text, "curl_free");
  FORGE_CHECK(curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
  return curl;
}

const Curl& TheCurl() {
  static const Curl curl = OpenCurl();
  return curl;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// An address, or nothing if it is none.
class Address {
 public:
  explicit Address(const std::string& text) : handle_(TheCurl().url()) { valid_ = Set(text); }
  ~Address() { TheCurl().url_cleanup(handle_); }
  Address(const Address&) = delete;
  Address& operator=(const Address&) = delete;

  /// Goes on to `reference`, which may be relative to this address.
  void Follow(const std::string& reference) { valid_ = valid_ && Set(reference); }
  bool is_http() const { return valid_ && (scheme() == "http" || scheme() == "https"); }
  std::string scheme() const { return Lower(Get(CURLUPART_SCHEME)); }
  std::string text() const { return Get(CURLUPART_URL); }
  std::string origin() const {
    return scheme() + "://" + Lower(Get(CURLUPART_HOST)) + ":" + Get(CURLUPART_PORT, CURLU_DEFAULT_PORT);
  }

 private:
  bool Set(const std::string& text) {
    return TheCurl().url_set(handle_, CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
  }
  std::string Get(CURLUPart part, unsigned int flags = 0) const {
    char* text = nullptr;
    if (TheCurl().url_get(handle_, part, &text, flags) != CURLUE_OK) return "";
    const std::string result = text;
    TheCurl().free_text(text);
    return result;
  }
  CURLU* handle_;
  bool valid_ = false;
};

/// Header lines for one hop.
class HeaderList {
 public:
  ~HeaderList() { TheCurl().list_free(list_); }
  void Add(const std::string& name, const std::string& value) {
    list_ = TheCurl().list_append(list_, (name + ": " + value).c_str());
    FORGE_CHECK(list_ != nullptr);
  }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// One request on one connection: what libcurl's callbacks work on.
struct Hop {
  const HttpRequest* request;
  const HttpClientOptions* options;
  std::string scheme;  // of this hop's address
  HttpResponse response;
  std::size_t header_bytes = 0;
  bool head_shown = false;
  std::exception_ptr thrown;  // by the caller's functions; it must not pass through libcurl
  std::string next;           // where the redirect that is to be followed leads

  bool Fail(HttpFailure failure, std::string problem) {
    response.failure = failure;
    response.problem = std::move(problem);
    return false;
  }

  bool TakeHeader(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kMaxHeaderBytes) return Fail(HttpFailure::kTooLong, "the headers do not end");
    if (line.starts_with("HTTP/")) response.headers.clear();  // the answer after "100 Continue"
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    response.headers[Lower(std::string(Trim(line.substr(0, colon))))] = Trim(line.substr(colon + 1));
    return true;
  }

  /// Called once, with all headers there: decides whether to go on elsewhere. False ends the hop.
  bool ShowHead(long status) {
    if (head_shown) return true;
    head_shown = true;
    response.status = static_cast<int>(status);
    const auto location = response.Header("location");
    if (IsRedirect(response.status) && location) {
      Address target(response.url);
      target.Follow(*location);
      if (!target.is_http())
        return Fail(HttpFailure::kRefused, "it redirects to " + *location + ", which is no web address");
      if (scheme == "https" && target.scheme() != "https")
        return Fail(HttpFailure::kRefused, "it redirects from https to " + target.text());
      (request->redirects == Redirects::kAny ? next : response.redirect_url) = target.text();
      if (!next.empty()) return true;
    }
    if (request->on_head && !request->on_head(response))
      return Fail(HttpFailure::kDeclined, "the answer was not wanted");
    return true;
  }

  bool TakeBody(std::string_view piece) {
    if (!next.empty()) return true;  // the text of a redirect
    const bool streamed = static_cast<bool>(request->on_body);
    if (streamed && response.status / 100 == 2) {
      if (request->on_body(std::as_bytes(std::span(piece)))) return true;
      return Fail(HttpFailure::kDeclined, "the body was not wanted");
    }
    const std::uint64_t limit = streamed ? kMaxMessageBytes : request->max_body_bytes;
    if (response.body.size() + piece.size() > limit) {
      if (streamed) return true;  // the beginning of a message is enough
      return Fail(HttpFailure::kTooLong, "the answer has more than " + std::to_string(limit) + " bytes");
    }
    response.body += piece;
    return true;
  }
};

struct Transfer {
  CURL* handle;
  Hop* hop;
};

long StatusOf(CURL* handle) {
  long status = 0;
  TheCurl().get_info(handle, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

/// Runs what may throw on behalf of libcurl; false ends the transfer.
template <class Callback>
bool Guard(Hop& hop, const Callback& callback) {
  try {
    return callback();
  } catch (...) {
    hop.thrown = std::current_exception();
    return hop.Fail(HttpFailure::kDeclined, "an error while the answer was read");
  }
}

std::size_t OnHeader(char* data, std::size_t size, std::size_t count, void* hop) {
  return static_cast<Hop*>(hop)->TakeHeader({data, size * count}) ? size * count : 0;
}

std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* user) {
  const auto* transfer = static_cast<Transfer*>(user);
  Hop& hop = *transfer->hop;
  const std::string_view piece(data, size * count);
  return Guard(hop, [&] { return hop.ShowHead(StatusOf(transfer->handle)) && hop.TakeBody(piece); })
             ? piece.size()
             : 0;
}

int OnProgress(void* hop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const StopToken* stop = static_cast<Hop*>(hop)->options->stop;
  return stop != nullptr && stop->stop_requested() ? 1 : 0;
}

HttpFailure FailureOf(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return HttpFailure::kUnreachable;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return HttpFailure::kRefused;
    case CURLE_ABORTED_BY_CALLBACK:
      return HttpFailure::kStopped;
    default:  // reset, cut, stalled, not HTTP: another try may do better
      return HttpFailure::kCut;
  }
}

}  // namespace

std::optional<std::string> HttpResponse::Header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

bool HaveSameOrigin(const std::string& url, const std::string& other) {
  const Address a(url), b(other);
  return a.is_http() && b.is_http() && a.origin() == b.origin();
}

struct HttpClient::State {
  HttpClientOptions options;
  CURL* handle;

  void Configure(Transfer& transfer, const HeaderList& headers, char* error_text) {
    const Curl& curl = TheCurl();
    curl.easy_reset(handle);  // keeps the connections
    const HttpRequest& request = *transfer.hop->request;
    curl.set(handle, CURLOPT_URL, transfer.hop->response.url.c_str());
    curl.set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.set(handle, CURLOPT_NOBODY, request.head ? 1L : 0L);
    curl.set(handle, CURLOPT_HTTPHEADER, headers.get());
    curl.set(handle, CURLOPT_USERAGENT, options.user_agent.c_str());
    curl.set(handle, CURLOPT_FOLLOWLOCATION, 0L);  // Send follows: the token must stay with its host
    curl.set(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl.set(handle, CURLOPT_NOSIGNAL, 1L);
    if (std::error_code error; !options.certificates.empty())
      curl.set(handle,
               std::filesystem::is_directory(options.certificates, error) ? CURLOPT_CAPATH : CURLOPT_CAINFO,
               options.certificates.c_str());
    curl.set(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout_seconds * 1000));
    curl.set(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl.set(handle, CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(options.stall_timeout_seconds)));
    curl.set(handle, CURLOPT_ERRORBUFFER, error_text);
    curl.set(handle, CURLOPT_HEADERFUNCTION, OnHeader);
    curl.set(handle, CURLOPT_HEADERDATA, transfer.hop);
    curl.set(handle, CURLOPT_WRITEFUNCTION, OnBody);
    curl.set(handle, CURLOPT_WRITEDATA, &transfer);
    curl.set(handle, CURLOPT_NOPROGRESS, 0L);
    curl.set(handle, CURLOPT_XFERINFOFUNCTION, OnProgress);
    curl.set(handle, CURLOPT_XFERINFODATA, transfer.hop);
  }

  void Perform(Hop& hop, const HeaderList& headers) {
    char error_text[CURL_ERROR_SIZE] = "";
    Transfer transfer{handle, &hop};
    Configure(transfer, headers, error_text);
    const CURLcode code = TheCurl().perform(handle);
    if (hop.thrown) std::rethrow_exception(hop.thrown);
    if (hop.response.failure != HttpFailure::kNone) return;  // ended by a callback of ours
    if (code == CURLE_OK) {
      hop.ShowHead(StatusOf(handle));  // an answer without a body
    } else if (hop.next.empty()) {     // the body of a redirect does not matter
      hop.Fail(FailureOf(code), error_text[0] != '\0' ? error_text : TheCurl().describe(code));
    }
    curl_off_t retry_after = 0;
    if (TheCurl().get_info(handle, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK && retry_after > 0)
      hop.response.retry_after_seconds = static_cast<double>(retry_after);
  }
};

HttpClient::HttpClient(HttpClientOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
  state_->handle = TheCurl().easy_init();
  FORGE_CHECK(state_->handle != nullptr);
}

HttpClient::~HttpClient() { TheCurl().easy_cleanup(state_->handle); }

HttpResponse HttpClient::Send(const HttpRequest& request) {
  Hop hop{.request = &request, .options = &state_->options};
  std::string url = request.url;
  const std::string first_origin = Address(url).origin();
  for (int hops = 0; hops <= kMaxRedirects; ++hops) {
    const Address address(url);
    hop = {.request = &request, .options = &state_->options};
    hop.response.url = url;
    if (!address.is_http()) {
      hop.Fail(HttpFailure::kRefused, url + " is no http or https address");
      return std::move(hop.response);
    }
    hop.scheme = address.scheme();
    HeaderList headers;
    headers.Add(std::string(kOurHeaders), "identity");  // sizes and checksums are of the bytes as they are
    for (const auto& [name, value] : request.headers) headers.Add(name, value);
    if (!request.bearer_token.empty() && address.origin() == first_origin)
      headers.Add("Authorization", "Bearer " + request.bearer_token);
    state_->Perform(hop, headers);
    if (hop.next.empty() || hop.response.failure != HttpFailure::kNone) return std::move(hop.response);
    url = hop.next;
  }
  hop.Fail(HttpFailure::kRefused, "more than " + std::to_string(kMaxRedirects) + " redirects");
  return std::move(hop.response);
}

}  // namespace forge::io
