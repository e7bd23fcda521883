// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

/// For tests only.
namespace forge::http::testing {

/// A connection that sends only what it is told to.
class RawConnection {
 public:
  explicit RawConnection(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  ~RawConnection() { ::close(socket_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool Connected() const { return Wait(POLLOUT, 10'000); }
  bool Ended(int wait_ms) const { return Wait(POLLIN, wait_ms); }
  void Send(std::string_view text) const {
    ASSERT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL), std::ssize(text));
  }
  /// What the server sent until it closed the connection; a last line "open" when it had not after 10 s.
  std::string ReadToEnd() const {
    std::string text;
    char bytes[4096];
    while (Wait(POLLIN, 10'000)) {
      const ssize_t size = ::recv(socket_, bytes, sizeof bytes, 0);
      if (size <= 0) return text;
      text.append(bytes, static_cast<std::size_t>(size));
    }
    return text + "\nopen";
  }

 private:
  bool Wait(short events, int wait_ms) const {
    pollfd wanted{.fd = socket_, .events = events, .revents = 0};
    return ::poll(&wanted, 1, wait_ms) == 1;
  }
  const int socket_;
};

}  // namespace forge::http::testing
