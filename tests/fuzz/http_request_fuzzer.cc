// SPDX-License-Identifier: Apache-2.0
// Bytes as a client sends them to forge serve, over a socket. The first byte says how many of them come at
// once; the rest follows, then the client waits for the end of the answer.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "http/http_server.h"
#include "serve/testing_server.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

/// Tries again where the machine has no port left for a moment, or a signal came.
int Connect(int port) {
  constexpr int kTries = 50;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < kTries; ++i) {
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return client;
    close(client);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  FORGE_CHECK(false && "the server takes connections");
  return -1;
}

void Send(int port, std::string_view bytes, std::size_t at_once) {
  const int client = Connect(port);
  at_once = std::min(at_once, bytes.size());
  send(client, bytes.data(), at_once, MSG_NOSIGNAL);
  send(client, bytes.data() + at_once, bytes.size() - at_once, MSG_NOSIGNAL);
  shutdown(client, SHUT_WR);
  std::string answer;
  char buffer[4096];
  for (ssize_t size = 0; (size = recv(client, buffer, sizeof buffer, 0)) > 0;)
    answer.append(buffer, static_cast<std::size_t>(size));
  close(client);
  FORGE_CHECK(answer.empty() || answer.starts_with("HTTP/1.1 "));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace forge;
  static const serve::testing::TinyModel model(64);
  static serve::testing::RunningServer server(model.Served(), [] {
    serve::ServerOptions options;
    options.host = "0.0.0.0";  // any Host header goes on to the handlers
    options.api_key = "k";
    options.request_timeout = std::chrono::milliseconds(500);
    options.max_body_bytes = 4096;
    return options;
  }());
  if (size == 0) return 0;
  std::string text(fuzz::Text(data + 1, size - 1));
  // A key that the inputs need not guess.
  if (const std::size_t line = text.find("\r\n"); line != std::string::npos)
    text.insert(line, "\r\nAuthorization: Bearer k");
  Send(server.port(), text, data[0]);
  return 0;
}
