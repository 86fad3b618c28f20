// Sends malformed bytes and hostile certificates, made by OpenSSL's command line, to the real daemon. The
// daemon closes the connection or answers UNAUTHENTICATED, counts or records the event without repeating the
// received bytes, and keeps running.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::HasSubstr;
using testing::Not;

// Part of everything hostile that the tests send. The daemon must never write it.
constexpr char kMarker[] = "hxqzjvkw";
constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A connection that sends any bytes.
class Wire {
 public:
  explicit Wire(const std::string& address) {
    if (address.starts_with("unix://")) {
      sockaddr_un to{};
      to.sun_family = AF_UNIX;
      std::strncpy(to.sun_path, address.c_str() + std::strlen("unix://"), sizeof(to.sun_path) - 1);
      Connect(AF_UNIX, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    } else {
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
      Connect(AF_INET, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }
  }
  ~Wire() { close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Sends as much as the other side accepts.
  void Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  // Receives some bytes, or none if the other side has closed or has sent nothing for a long time.
  std::string Receive() const {
    std::string bytes(16 * 1024, '\0');
    const ssize_t got = recv(fd_, bytes.data(), bytes.size(), 0);
    silent_ = silent_ || (got < 0 && errno == EAGAIN);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
  }

  // Sends FIN and reads to the end. Returns whether the other side closes.
  bool IsClosed() const {
    shutdown(fd_, SHUT_WR);
    while (!Receive().empty()) {
    }
    return !silent_;
  }

 private:
  void Connect(int family, const sockaddr* to, socklen_t size) {
    fd_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    EXPECT_EQ(connect(fd_, to, size), 0);
  }

  int fd_ = -1;
  mutable bool silent_ = false;
};

// OpenSSL's TLS client. A test may change each flight before it is sent.
class TlsClient {
 public:
  using Tamper = std::function<void(int flight, std::string& bytes)>;

  explicit TlsClient(int newest = TLS1_3_VERSION) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_.get(), 0);
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_.get(), newest);
    static constexpr unsigned char kH2[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(context_.get(), kH2, sizeof(kH2));
  }

  void Show(const std::string& certificate_file, const std::string& key_file) {
    EXPECT_EQ(SSL_CTX_use_certificate_file(context_.get(), certificate_file.c_str(), SSL_FILETYPE_PEM), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context_.get(), key_file.c_str(), SSL_FILETYPE_PEM), 1);
  }

  // Whether the client completes the handshake.
  bool Handshake(const Wire& wire, const Tamper& tamper = {}) {
    Begin();
    for (int flight = 0;; ++flight) {
      const int done = SSL_do_handshake(session_.get());
      std::string bytes = Written();
      if (tamper) tamper(flight, bytes);
      wire.Send(bytes);
      if (done == 1) return true;
      if (SSL_get_error(session_.get(), done) != SSL_ERROR_WANT_READ) break;
      const std::string answer = wire.Receive();
      if (answer.empty()) break;
      BIO_write(SSL_get_rbio(session_.get()), answer.data(), static_cast<int>(answer.size()));
    }
    ERR_clear_error();
    return false;
  }

  std::string Hello() {
    Begin();
    SSL_do_handshake(session_.get());
    ERR_clear_error();
    return Written();
  }

  std::string Seal(std::string_view bytes) {
    SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size()));
    return Written();
  }

 private:
  void Begin() {
    session_.reset(SSL_new(context_.get()));
    SSL_set_bio(session_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(session_.get());
  }

  std::string Written() {
    BIO* out = SSL_get_wbio(session_.get());
    std::string bytes(BIO_ctrl_pending(out), '\0');
    if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }

  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* session) const { SSL_free(session); }
  };
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> session_;
};

std::string Number(std::size_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xFF);
  return text;
}

std::string Frame(char type, char flags, std::size_t stream, const std::string& payload) {
  return Number(payload.size(), 3) + type + flags + Number(stream, 4) + payload;
}

// A call with one header of this many bytes, in as many frames as it needs.
std::string CallWithHeader(std::size_t size) {
  constexpr std::size_t kFrame = 16 * 1024;
  std::string block = std::string("\x83\x86", 2);  // POST, http
  for (const auto& [name, value] :
       {std::pair<std::string, std::string>{":path", "/tokend.v1.TokenService/GetCaller"},
        {":authority", "localhost"},
        {"content-type", "application/grpc"},
        {"te", "trailers"}}) {
    block += '\0' + Number(name.size(), 1) + name + Number(value.size(), 1) + value;
  }
  std::string value;
  while (value.size() < size) value += kMarker;
  std::string length = "\x7F";  // an HPACK integer: 127, then 7 bits in each byte
  std::size_t rest = value.size() - 127;
  for (; rest >= 128; rest /= 128) length += static_cast<char>(rest % 128 + 128);
  block += std::string("\0\x01x", 3) + length + static_cast<char>(rest) + value;

  std::string bytes = std::string(kPreface) + Frame(4, 0, 0, "");
  for (std::size_t at = 0; at < block.size(); at += kFrame) {
    const char ends = at + kFrame >= block.size() ? 4 : 0;
    bytes += Frame(at == 0 ? 1 : 9, ends, 1, block.substr(at, kFrame));
  }
  return bytes + Frame(0, 1, 1, std::string(5, '\0'));
}

// Shortens the certificate in a TLS 1.2 client's flight, and adapts all lengths around it.
void TruncateCertificate(std::string& flight) {
  constexpr std::size_t kCut = 10;
  constexpr std::size_t kHeaders = 5 + 4 + 3 + 3;  // record, handshake, list, certificate
  ASSERT_GT(flight.size(), kHeaders);
  ASSERT_EQ(flight[5], 11);  // a Certificate
  const auto length = [&](std::size_t at, int bytes) {
    std::size_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      value = value << 8 | static_cast<unsigned char>(flight[at + static_cast<std::size_t>(i)]);
    }
    return value;
  };
  const std::size_t record = length(3, 2);
  for (const auto& [at, bytes] : {std::pair<std::size_t, int>{3, 2}, {6, 3}, {9, 3}, {12, 3}}) {
    flight.replace(at, static_cast<std::size_t>(bytes), Number(length(at, bytes) - kCut, bytes));
  }
  flight.erase(5 + record - kCut, kCut);
}

class HostileTransport : public SystemTest {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    OpenSsl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj",
             "/CN=tests", "-days", "2"});
    OpenSsl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "other.key", "-out", "other.crt",
             "-subj", "/CN=tests", "-days", "2"});
    Issue("server", "subjectAltName=DNS:localhost");
    Issue("good", "subjectAltName=URI:spiffe://test.example/good");
    Tokend::Options options;
    options.listeners = "  - name: local\n    address: unix://" + (folder_ / "tokend.sock") +
                        "\n    authentication: {none: {caller: ci}}\n"
                        "  - name: cluster\n    address: 127.0.0.1:0\n    tls: {certificate_file: " +
                        (folder_ / "server.crt") + ", private_key_file: " + (folder_ / "server.key") +
                        ", client_ca_file: " + (folder_ / "ca.crt") + "}\n    authentication: {mtls: {}}\n";
    Start(options);
  }

  // Expects that the daemon still serves and has written nothing that was sent to it.
  void TearDown() override {
    // As soon as the limit on handshakes allows this address another one.
    EXPECT_TRUE(Eventually([&] { return CreateAs("good").code == kOk; }));
    EXPECT_EQ(Create("ios-app").code, kOk);
    EXPECT_THAT(tokend_->Get("/metrics"), Not(HasSubstr(kMarker)));
    EXPECT_EQ(Stop(), 0);
    EXPECT_THAT(tokend_->log(), Not(HasSubstr(kMarker)));
    EXPECT_THAT(tokend_->audit(), Not(HasSubstr(kMarker)));
  }

  void OpenSsl(std::vector<std::string> arguments) const {
    for (std::string& argument : arguments) {
      const bool is_file = argument.ends_with(".key") || argument.ends_with(".crt") ||
                           argument.ends_with(".csr") || argument.ends_with(".ext");
      if (is_file) argument = folder_ / argument;
    }
    arguments.insert(arguments.begin(), "/usr/bin/openssl");
    const Ended ended = RunProgram(arguments);
    ASSERT_EQ(ended.exit, 0) << ended.err;
  }

  // Makes NAME.crt and NAME.key, with these lines of an OpenSSL extension file.
  void Issue(const std::string& name, const std::string& extensions, const std::string& authority = "ca",
             const std::string& days = "1") const {
    WriteFile(folder_ / (name + ".ext"), extensions + "\n");
    OpenSsl({"req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name});
    OpenSsl({"x509", "-req", "-in", name + ".csr", "-CA", authority + ".crt", "-CAkey", authority + ".key",
             "-set_serial", "7", "-days", days, "-extfile", name + ".ext", "-out", name + ".crt"});
  }

  Answered CreateAs(const std::string& name) const {
    TlsFiles files{ReadFile(folder_ / "ca.crt"), "", ""};
    if (!name.empty()) {
      files.certificate_pem = ReadFile(folder_ / (name + ".crt"));
      files.key_pem = ReadFile(folder_ / (name + ".key"));
    }
    return RawClient(tokend_->address("cluster"), files).Create(RequestFor("ios-app"));
  }

  TlsClient GoodClient(int newest = TLS1_3_VERSION) const {
    TlsClient client(newest);
    client.Show(folder_ / "good.crt", folder_ / "good.key");
    return client;
  }

  std::size_t FailedHandshakes() const {
    const std::string metrics = tokend_->Get("/metrics");
    const std::string name = "\ntokend_tls_handshakes_failed_total ";
    const std::size_t at = metrics.find(name);
    EXPECT_NE(at, std::string::npos);
    return at == std::string::npos ? 0 : std::stoul(metrics.substr(at + name.size()));
  }

  void ExpectFailedHandshakes(std::size_t count) const {
    EXPECT_TRUE(Eventually([&] { return FailedHandshakes() == count; })) << FailedHandshakes();
  }
};

TEST_F(HostileTransport, CertificatesThatNameNobodyAreUnauthenticated) {
  const std::string uri = "subjectAltName=URI:";
  const std::string marked = uri + "spiffe://" + kMarker;
  const std::string dns = "subjectAltName=DNS:";
  const std::string domain = std::string("spiffe://") + kMarker + ".example/";
  // A subjectAltName with one URI or DNS name of exactly these bytes.
  const auto raw = [](char kind, const std::string& name) {
    const std::string entry = std::string(1, kind) + Number(name.size(), 1) + name;
    const std::string der = "\x30" + Number(entry.size(), 1) + entry;
    std::string hex;
    for (const char byte : der) {
      static constexpr char kDigits[] = "0123456789abcdef";
      const auto value = static_cast<unsigned char>(byte);
      hex += std::string(":") + kDigits[value >> 4] + kDigits[value & 15];
    }
    return "2.5.29.17=DER" + hex;
  };
  const char kUri = '\x86';
  const char kDns = '\x82';
  const std::vector<std::string> nobody = {
      "keyUsage=digitalSignature",
      marked + ".example/a,URI:spiffe://" + kMarker + ".example/b",
      marked + ".example/a,URI:spiffe://" + kMarker + ".example/a",
      marked + ".example:8443/a",
      marked + ".example/a?b=c",
      raw(kUri, domain + "a#b"),
      uri + "spiffe://user@" + kMarker + ".example/a",
      uri + "spiffe:///" + kMarker,
      uri + "spiffe:/" + kMarker,
      uri + "https://" + kMarker + ".example/a",
      uri + "SPIFFE://" + kMarker + ".example/a",
      uri + "spiffe://Upper." + kMarker + ".EXAMPLE/a",
      marked + ".example/",
      marked + ".example//a",
      marked + ".example/a/",
      marked + ".example/../a",
      marked + ".example/./a",
      marked + ".example/%61",
      uri + "spiffe://" + std::string(256, 'a') + "/" + kMarker,
      marked + "/" + std::string(2048, 'a'),
      dns + "*." + kMarker + ".example",
      dns + kMarker + ".example,DNS:b.example",
      uri + "https://a.example,DNS:" + kMarker + ".example",
      "subjectAltName=IP:10.0.0.1",
      "subjectAltName=email:" + std::string(kMarker) + "@a.example",
      raw(kUri, domain + "a" + std::string(1, '\0') + "b"),
      raw(kUri, std::string("spiffe://test.example/good") + '\0' + kMarker),
      raw(kUri, domain + "a\nb"),
      raw(kUri, domain + "\xFF\xFE"),
      raw(kUri, ""),
      raw(kDns, std::string(kMarker) + ".example" + '\0' + ".test.example"),
      raw(kDns, std::string(kMarker) + "\r\n.example"),
      raw(kDns, std::string(kMarker) + ".\x1B[31m"),
      raw(kDns, ""),
  };
  for (std::size_t i = 0; i < nobody.size(); ++i) {
    const std::string name = "nobody" + std::to_string(i);
    Issue(name, nobody[i]);
    const Answered answered = CreateAs(name);
    EXPECT_EQ(answered.code, kUnauthenticated) << nobody[i] << ": " << answered.message;
    EXPECT_EQ(answered.reason, "CALLER_UNKNOWN") << nobody[i];
    EXPECT_THAT(answered.bytes, Not(HasSubstr(kMarker)));
  }
  EXPECT_EQ(FailedHandshakes(), 0U);
}

TEST_F(HostileTransport, CertificatesThatProveNothingCloseTheConnection) {
  const std::string extension = std::string("subjectAltName=URI:spiffe://test.example/") + kMarker;
  Issue("expired", extension, "ca", "-1");
  Issue("wrong-authority", extension, "other");
  Issue("truncated-names", "2.5.29.17=DER:30:30:86:20:73:70:69:66:66:65:3a:2f:2f:61");
  Issue("server-only", extension + "\nextendedKeyUsage=serverAuth");
  OpenSsl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "self-signed.key", "-out",
           "self-signed.crt", "-subj", "/CN=good", "-addext", extension});
  std::size_t failed = 0;
  for (const char* name :
       {"expired", "wrong-authority", "truncated-names", "server-only", "self-signed", ""}) {
    const Answered answered = CreateAs(name);
    EXPECT_EQ(answered.code, kUnavailable) << name << ": " << answered.message;
    EXPECT_TRUE(Eventually([&] { return FailedHandshakes() > failed; })) << name;
    failed = FailedHandshakes();
  }
  EXPECT_THAT(tokend_->events(), Not(testing::Contains("request.unauthenticated")));
}

TEST_F(HostileTransport, WhatIsNoHandshakeIsClosedAndCounted) {
  std::mt19937 random(20);
  const std::string hello = GoodClient().Hello();
  std::vector<std::string> openings = {"",
                                       "\n",
                                       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                       kPreface,
                                       CallWithHeader(1024),
                                       std::string(64 * 1024, '\0')};
  for (int i = 0; i < 40; ++i) {
    std::string garbage(1 + random() % 4096, '\0');
    for (char& byte : garbage) byte = static_cast<char>(random());
    if (i % 2 == 0) garbage.insert(0, "\x16\x03\x01");
    openings.push_back(garbage);
  }
  for (std::size_t cut = 1; cut < hello.size(); cut += 1 + hello.size() / 40) {
    openings.push_back(hello.substr(0, cut));
  }
  for (int i = 0; i < 40; ++i) {
    std::string changed = hello;
    changed[random() % 6] = static_cast<char>(random());  // a length or a type
    if (changed != hello) openings.push_back(changed);
  }
  for (const std::string& opening : openings) {
    const Wire wire(tokend_->address("cluster"));
    wire.Send(opening);
    EXPECT_TRUE(wire.IsClosed());
  }
  ExpectFailedHandshakes(openings.size());
}

TEST_F(HostileTransport, OldTlsAndATruncatedCertificateAreClosedAndCounted) {
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    const Wire wire(tokend_->address("cluster"));
    EXPECT_FALSE(GoodClient(version).Handshake(wire));
    EXPECT_TRUE(wire.IsClosed());
  }
  const Wire untouched(tokend_->address("cluster"));
  EXPECT_TRUE(GoodClient(TLS1_2_VERSION).Handshake(untouched));
  const Wire wire(tokend_->address("cluster"));
  EXPECT_FALSE(GoodClient(TLS1_2_VERSION).Handshake(wire, [](int flight, std::string& bytes) {
    if (flight == 1) TruncateCertificate(bytes);
  }));
  EXPECT_TRUE(wire.IsClosed());
  ExpectFailedHandshakes(3);
}

TEST_F(HostileTransport, WhatIsNoHttp2IsClosedHoweverItComes) {
  std::mt19937 random(21);
  std::string garbage(4096, '\0');
  for (char& byte : garbage) byte = static_cast<char>(random());
  const std::string preface = kPreface;
  const std::vector<std::string> openings = {
      garbage,
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      preface.substr(0, 10) + garbage,
      preface + garbage,
      preface + Frame(4, 0, 0, "") + garbage,
      preface + Frame(4, 0, 0, "") + Frame(1, 4, 1, garbage),
      preface + Frame(4, 0, 0, "") + Frame(9, 4, 1, kMarker),
      preface + Frame(4, 0, 0, "") + Frame(1, 0, 1, kMarker) + Frame(0, 1, 1, kMarker),
      preface + Frame(4, 0, 0, "") + Number(0xFFFFFF, 3) + garbage,
      CallWithHeader(32 * 1024),
      CallWithHeader(1024 * 1024),
  };
  for (const std::string& opening : openings) {
    const Wire plain(tokend_->address("local"));
    plain.Send(opening);
    EXPECT_TRUE(plain.IsClosed());

    const Wire wire(tokend_->address("cluster"));
    TlsClient client = GoodClient();
    ASSERT_TRUE(client.Handshake(wire));
    wire.Send(client.Seal(opening));
    EXPECT_TRUE(wire.IsClosed());
  }
  // The daemon may have handled a complete call before the connection closed, and its answer went nowhere.
}

}  // namespace
}  // namespace tokend::system
