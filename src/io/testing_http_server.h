// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace forge::io::testing {

struct ServedRequest {
  std::string method, target;                  // target with its query
  std::map<std::string, std::string> headers;  // names in lower case
};

struct ServedAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::optional<std::uint64_t> declared_length;  // Content-Length if it is not that of the body
  bool with_length = true;
  std::optional<std::size_t> cut_after;  // the connection ends after so many bytes of the body
};

/// For tests only: an HTTP server in this process on raw sockets, so that it can misbehave: cut answers,
/// wrong lengths. One thread for each connection, one request on each. Ranges are answered where the handler
/// asks.
class HttpServer {
 public:
  using Handler = std::function<ServedAnswer(const ServedRequest&)>;

  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 64) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      std::abort();
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }

  ~HttpServer() {
    shutdown(listener_, SHUT_RDWR);  // wakes accept
    acceptor_.join();
    close(listener_);
    for (std::thread& connection : connections_) connection.join();
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int port() const { return port_; }
  /// Everything that was asked for until now, in the order of arrival.
  std::vector<ServedRequest> log() const {
    const std::lock_guard lock(mutex_);
    return log_;
  }

 private:
  void Accept() {
    for (;;) {
      const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      connections_.emplace_back([this, connection] {
        Serve(connection);
        close(connection);
      });
    }
  }

  void Serve(int connection) {
    std::string head;
    char c = 0;
    while (!head.ends_with("\r\n\r\n") && head.size() < 65536) {
      if (recv(connection, &c, 1, 0) != 1) return;
      head += c;
    }
    const ServedRequest request = Parse(head);
    {
      const std::lock_guard lock(mutex_);
      log_.push_back(request);
    }
    const ServedAnswer answer = handler_(request);
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " Status\r\nConnection: close\r\n";
    if (answer.with_length)
      text +=
          "Content-Length: " + std::to_string(answer.declared_length.value_or(answer.body.size())) + "\r\n";
    for (const auto& [name, value] : answer.headers) text += name + ": " + value + "\r\n";
    text += "\r\n";
    if (request.method != "HEAD")
      text += answer.body.substr(0, answer.cut_after.value_or(answer.body.size()));
    for (std::size_t sent = 0; sent < text.size();) {
      const ssize_t count = send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<std::size_t>(count);
    }
  }

  static ServedRequest Parse(const std::string& head) {
    ServedRequest request;
    const std::size_t first = head.find(' '), second = head.find(' ', first + 1);
    request.method = head.substr(0, first);
    request.target = head.substr(first + 1, second - first - 1);
    for (std::size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
      const std::size_t end = head.find("\r\n", at), colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      request.headers[name] = head.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> connections_;  // touched by the acceptor, then by the destructor
  mutable std::mutex mutex_;
  std::vector<ServedRequest> log_;
};

/// The answer to a request for `body` as servers of files give it: whole, or the range that was asked for.
inline ServedAnswer ServeBytes(const ServedRequest& request, const std::string& body) {
  ServedAnswer answer{.body = body};
  const auto range = request.headers.find("range");
  if (range == request.headers.end()) return answer;
  const std::size_t equals = range->second.find('='), dash = range->second.find('-');
  const std::size_t first = std::stoull(range->second.substr(equals + 1, dash - equals - 1));
  const std::string last_text = range->second.substr(dash + 1);
  if (first >= body.size())
    return {
        .status = 416, .headers = {{"Content-Range", "bytes */" + std::to_string(body.size())}}, .body = ""};
  const std::size_t last =
      std::min<std::size_t>(last_text.empty() ? body.size() - 1 : std::stoull(last_text), body.size() - 1);
  answer.status = 206;
  answer.body = body.substr(first, last - first + 1);
  answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(first) + "-" + std::to_string(last) +
                                                   "/" + std::to_string(body.size()));
  return answer;
}

}  // namespace forge::io::testing
