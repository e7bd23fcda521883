// SPDX-License-Identifier: Apache-2.0
#include "dashboard/http_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace forge::dashboard {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// The server's end of one connection. All waiting is done by poll, which a shutdown of the socket wakes.
class ConnectionStream : public httplib::Stream {
 public:
  ConnectionStream(socket_t socket, milliseconds timeout)
      : socket_(socket), timeout_(timeout), request_end_(Clock::now() + timeout) {}

  bool is_readable() const override { return offset_ < size_ || Wait(POLLIN, request_end_); }
  bool is_writable() const override { return Wait(POLLOUT, Clock::now() + timeout_) && ClientIsThere(); }

  ssize_t read(char* data, std::size_t size) override {
    if (offset_ == size_) {
      if (!Wait(POLLIN, request_end_)) return -1;
      const ssize_t received = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (received <= 0) return received;
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

  void get_remote_ip_and_port(std::string&, int&) const override {}  // the handlers do not look at them
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

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

  bool ClientIsThere() const {
    char next = 0;
    const ssize_t received = ::recv(socket_, &next, 1, MSG_PEEK | MSG_DONTWAIT);
    return received > 0 || (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
  }

  const socket_t socket_;
  const milliseconds timeout_;
  const Clock::time_point request_end_;
  std::array<char, 4096> buffer_;  // [offset_, size_) is received and not yet read
  std::size_t offset_ = 0, size_ = 0;
};

}  // namespace

HttpServer::HttpServer(int threads, milliseconds request_timeout) : request_timeout_(request_timeout) {
  new_task_queue = [threads] { return new httplib::ThreadPool(static_cast<std::size_t>(threads)); };
}

int HttpServer::Bind(const std::string& address, int port) {
  const int bound = port == 0 ? bind_to_any_port(address) : bind_to_port(address, port) ? port : -1;
  if (bound <= 0) return -1;
  // A second listen only sets the length of the queue; the system cuts SOMAXCONN to its own limit.
  return ::listen(svr_sock_, SOMAXCONN) == 0 ? bound : -1;
}

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
    ConnectionStream stream(socket, request_timeout_);
    bool closed = false;
    answered = process_request(stream, /*close_connection=*/true, closed, nullptr);
    Remove(socket);  // before the close: its number may then be another connection's
  }
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
  return answered;
}

}  // namespace forge::dashboard
