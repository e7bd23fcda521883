// SPDX-License-Identifier: Apache-2.0
#include "http/http_server.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

namespace forge::http {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kStopPoll{50};
constexpr milliseconds kLinger{500};  // for the rest of a request that is answered already

/// The server's end of one connection. All waiting is done by poll, which a shutdown of the socket wakes.
class ConnectionStream : public httplib::Stream {
 public:
  ConnectionStream(socket_t socket, const HttpLimits& limits)
      : socket_(socket),
        timeout_(limits.request_timeout),
        request_end_(Clock::now() + timeout_),
        bytes_left_(limits.max_request_bytes) {}

  bool is_readable() const override { return offset_ < size_ || Wait(POLLIN, request_end_); }
  bool is_writable() const override { return Wait(POLLOUT, Clock::now() + timeout_) && ClientIsThere(); }

  ssize_t read(char* data, std::size_t size) override {
    if (offset_ == size_) {
      if (bytes_left_ == 0 || !Wait(POLLIN, request_end_)) return -1;
      const ssize_t received =
          ::recv(socket_, buffer_.data(), std::min(buffer_.size(), bytes_left_), MSG_DONTWAIT);
      if (received <= 0) return received;
      bytes_left_ -= static_cast<std::size_t>(received);
      offset_ = 0;
      size_ = static_cast<std::size_t>(received);
    }
    size = std::min(size, size_ - offset_);
    std::memcpy(data, buffer_.data() + offset_, size);
    offset_ += size;
    return static_cast<ssize_t>(size);
  }

  /// May write less than `size`; the library calls it again for the rest.
  ssize_t write(const char* data, std::size_t size) override {
    if (!is_writable()) return -1;
    return ::send(socket_, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    char host[NI_MAXHOST], service[NI_MAXSERV];
    if (::getpeername(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof host, service, sizeof service,
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
      return;
    ip = host;
    port = std::atoi(service);
  }
  void get_local_ip_and_port(std::string&, int&) const override {}  // the handlers do not look at them
  socket_t socket() const override { return socket_; }

  /// Also true while a half-sent next request waits; a closed one shows behind it.
  bool ClientIsThere() const {
    pollfd asked{.fd = socket_, .events = POLLRDHUP, .revents = 0};
    return ::poll(&asked, 1, 0) <= 0;
  }

  /// Ends the answer and takes what the client still sends, until it closes or is silent for a moment, for at
  /// most the time of a request.
  void Close() const {
    ::shutdown(socket_, SHUT_WR);
    std::array<char, 4096> rest;
    for (const auto end = Clock::now() + timeout_; Wait(POLLIN, std::min(end, Clock::now() + kLinger));)
      if (::recv(socket_, rest.data(), rest.size(), MSG_DONTWAIT) <= 0) return;
  }

 private:
  bool Wait(short events, Clock::time_point end) const {
    for (;;) {
      const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
      if (left <= 0) return false;
      pollfd wanted{.fd = socket_, .events = events, .revents = 0};
      const int ready = ::poll(&wanted, 1, static_cast<int>(left));
      if (ready > 0) return (wanted.revents & events) != 0;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

  const socket_t socket_;
  const milliseconds timeout_;
  const Clock::time_point request_end_;
  std::array<char, 4096> buffer_;  // [offset_, size_) is received and not yet read
  std::size_t offset_ = 0, size_ = 0;
  std::size_t bytes_left_;  // that the request may still have
};

thread_local const ConnectionStream* handled = nullptr;  // by this thread

}  // namespace

HttpServer::HttpServer(const HttpLimits& limits) : limits_(limits) {
  new_task_queue = [threads = limits.threads] {
    return new httplib::ThreadPool(static_cast<std::size_t>(threads));
  };
  set_payload_max_length(limits.max_request_bytes);
  // Not the library's SO_REUSEPORT: a second server on the same port must fail, not share it.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  set_default_headers({{"X-Content-Type-Options", "nosniff"},
                       {"Referrer-Policy", "no-referrer"},
                       {"X-Frame-Options", "DENY"},
                       {"Cross-Origin-Opener-Policy", "same-origin"},
                       {"Cross-Origin-Resource-Policy", "same-origin"}});
}

int HttpServer::Bind(const std::string& address, int port) {
  const int bound = port == 0 ? bind_to_any_port(address) : bind_to_port(address, port) ? port : -1;
  if (bound <= 0) return -1;
  // A second listen only sets the length of the queue; the system cuts SOMAXCONN to its own limit.
  return ::listen(svr_sock_, SOMAXCONN) == 0 ? bound : -1;
}

bool HttpServer::ServeUntil(const std::function<bool()>& stop) {
  std::atomic<bool> ended{false};
  bool served = false;
  std::thread listener([&] {
    served = listen_after_bind();
    ended = true;
  });
  while (!stop() && !ended) std::this_thread::sleep_for(kStopPoll);
  // The library ignores a stop before it listens: a request that came at once would be lost.
  while (!is_running() && !ended) std::this_thread::sleep_for(milliseconds(1));
  StopNow();
  listener.join();
  return served;
}

bool HttpServer::ClientIsThere() { return handled != nullptr && handled->ClientIsThere(); }

void HttpServer::StopNow() {
  stop();
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (const socket_t connection : connections_) ::shutdown(connection, SHUT_RDWR);
  stopped_now_.notify_all();
}

bool HttpServer::Sleep(milliseconds duration) {
  std::unique_lock lock(mutex_);
  return !stopped_now_.wait_for(lock, duration, [this] { return stopped_; });
}

bool HttpServer::Add(socket_t socket) {
  const std::lock_guard lock(mutex_);
  if (!stopped_) connections_.insert(socket);
  return !stopped_;
}

void HttpServer::Remove(socket_t socket) {
  const std::lock_guard lock(mutex_);
  connections_.erase(socket);
}

bool HttpServer::process_and_close_socket(socket_t socket) {
  bool answered = false;
  if (Add(socket)) {
    ConnectionStream stream(socket, limits_);
    handled = &stream;
    bool closed = false;
    answered = process_request(stream, /*close_connection=*/true, closed, nullptr);
    handled = nullptr;
    stream.Close();
    Remove(socket);  // before the close: its number may then be another connection's
  }
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
  return answered;
}

std::vector<std::string> HeaderValues(const httplib::Request& request, const std::string& name) {
  std::vector<std::string> values;
  const auto [begin, end] = request.headers.equal_range(name);
  for (auto header = begin; header != end; ++header) values.push_back(header->second);
  return values;
}

}  // namespace forge::http
