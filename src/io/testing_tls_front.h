// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

namespace forge::io::testing {

/// For tests only: https in front of an HttpServer. Has a certificate of its own for 127.0.0.1, made when it
/// starts and written to `certificate_file`, which a client has to be told to trust. One connection after the
/// other, one request on each.
class TlsFront {
 public:
  TlsFront(int plain_port, const std::filesystem::path& certificate_file)
      : plain_port_(plain_port), context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
    MakeCertificate(certificate_file);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof address;
    Require(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener_, 16) == 0 &&
            getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] {
      for (int connection; (connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;
           close(connection))
        Serve(connection);
    });
  }
  ~TlsFront() {
    shutdown(listener_, SHUT_RDWR);  // wakes accept
    acceptor_.join();
    close(listener_);
  }
  TlsFront(const TlsFront&) = delete;
  TlsFront& operator=(const TlsFront&) = delete;

  std::string url() const { return "https://127.0.0.1:" + std::to_string(port_); }

 private:
  static void Require(bool holds) {
    if (!holds) std::abort();
  }
  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }

  void MakeCertificate(const std::filesystem::path& file) {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("forge test"),
                               -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    for (const auto& [kind, value] : {std::pair{NID_subject_alt_name, "IP:127.0.0.1"},
                                      std::pair{NID_basic_constraints, "critical,CA:TRUE"}}) {
      const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
          X509V3_EXT_conf_nid(nullptr, nullptr, kind, value), X509_EXTENSION_free);
      X509_add_ext(certificate.get(), extension.get(), -1);
    }
    Require(X509_sign(certificate.get(), key.get(), EVP_sha256()) != 0 &&
            SSL_CTX_use_certificate(context_.get(), certificate.get()) == 1 &&
            SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1);
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new_file(file.c_str(), "w"), BIO_free);
    Require(out != nullptr && PEM_write_bio_X509(out.get(), certificate.get()) == 1);
  }

  void Serve(int connection) const {
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context_.get()), SSL_free);
    SSL_set_fd(tls.get(), connection);
    if (SSL_accept(tls.get()) != 1) return;  // a client that does not trust us
    std::string head;
    for (char c; !head.ends_with("\r\n\r\n") && SSL_read(tls.get(), &c, 1) == 1;) head += c;
    const int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Loopback(plain_port_);
    Require(connect(plain, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    Require(send(plain, head.data(), head.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(head.size()));
    char piece[4096];
    for (ssize_t count; (count = recv(plain, piece, sizeof piece, 0)) > 0;)
      if (SSL_write(tls.get(), piece, static_cast<int>(count)) <= 0) break;
    close(plain);
    SSL_shutdown(tls.get());
  }

  int plain_port_, port_ = 0, listener_ = -1;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::thread acceptor_;
};

}  // namespace forge::io::testing
