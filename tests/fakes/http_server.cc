#include "tests/fakes/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <unordered_map>

#include "tests/fakes/http_codec.h"

namespace tokend::fakes {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::uint64_t kWakeTag = ~std::uint64_t{0};
constexpr std::uint64_t kListenerTag = kWakeTag - 1;
constexpr int kBacklog = 4096;
constexpr std::size_t kMaxConnections = 8192;
constexpr std::size_t kReadSize = std::size_t{64} << 10;
// After its FIN, the server still reads from a connection for this long. Unread bytes would turn the FIN into
// a RST.
constexpr std::chrono::seconds kLinger{1};

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslFree>;

[[noreturn]] void Fail(const char* what) { throw std::runtime_error(what); }

void UseChain(SSL_CTX* context, const std::string& pem) {
  const std::unique_ptr<BIO, SslFree> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::unique_ptr<X509, SslFree> leaf(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (leaf == nullptr || SSL_CTX_use_certificate(context, leaf.get()) != 1)
    Fail("the certificate is unusable");
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add0_chain_cert(context, next);
  }
  ERR_clear_error();
}

void UseKey(SSL_CTX* context, const std::string& pem) {
  const std::unique_ptr<BIO, SslFree> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::unique_ptr<EVP_PKEY, SslFree> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr || SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    Fail("the private key is unusable, or not the certificate's");
  }
}

// Clients must show a certificate of this authority.
void DemandClients(SSL_CTX* context, const std::string& ca_pem) {
  const std::unique_ptr<BIO, SslFree> bio(BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size())));
  const std::unique_ptr<X509, SslFree> ca(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (ca == nullptr || X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1) {
    Fail("the clients' authority is unusable");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
}

// The first subject alternative name, a host or a URI, of the client's certificate.
std::string ClientOf(const SSL* session) {
  const X509* const shown = session == nullptr ? nullptr : SSL_get0_peer_certificate(session);
  if (shown == nullptr) return "";
  const std::unique_ptr<GENERAL_NAMES, SslFree> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(shown, NID_subject_alt_name, nullptr, nullptr)));
  if (sk_GENERAL_NAME_num(names.get()) < 1) return "";
  const ASN1_IA5STRING* const name = sk_GENERAL_NAME_value(names.get(), 0)->d.ia5;
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(name)),
          static_cast<std::size_t>(ASN1_STRING_length(name))};
}

std::string AlpnList(const std::vector<Protocol>& protocols) {
  std::string list;
  for (const Protocol protocol : protocols) {
    const std::string name = protocol == Protocol::kHttp2 ? "h2" : "http/1.1";
    list += static_cast<char>(name.size()) + name;
  }
  return list;
}

int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
               unsigned int offered_size, void* list) {
  const auto& ours = *static_cast<const std::string*>(list);
  unsigned char* selected = nullptr;
  const int result =
      SSL_select_next_proto(&selected, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned int>(ours.size()), offered, offered_size);
  *out = selected;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// `alpn` must outlive the returned context.
SslContext MakeContext(const HttpServerOptions& options, std::string& alpn) {
  SslContext context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) Fail("OpenSSL has no TLS server");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  UseChain(context.get(), options.certificate_pem);
  UseKey(context.get(), options.private_key_pem);
  if (!alpn.empty()) SSL_CTX_set_alpn_select_cb(context.get(), SelectAlpn, &alpn);
  if (!options.client_ca_pem.empty()) DemandClients(context.get(), options.client_ca_pem);
  return context;
}

FileDescriptor ListenOnUnix(const std::string& path) {
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    Fail("cannot listen on the socket");
  }
  return fd;
}

FileDescriptor Listen(const std::string& host, std::uint16_t& port) {
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd.get(), generic, size) != 0 || listen(fd.get(), kBacklog) != 0 ||
      getsockname(fd.get(), generic, &size) != 0) {
    Fail("cannot listen on the port");
  }
  port = ntohs(address.sin_port);
  return fd;
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpServerOptions options, Handler& handler)
      : options_(std::move(options)), handler_(handler), alpn_(AlpnList(options_.protocols)) {
    if (!options_.certificate_pem.empty()) context_ = MakeContext(options_, alpn_);
    port_ = options_.port;
    Start();
  }
  ~Impl() { Stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void Start() {
    if (thread_.joinable()) {
      RunOnLoop([this] {
        if (listener_.get() < 0) OpenListener();
      });
      return;
    }
    epoll_ = FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
    wake_ = FileDescriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    Watch(wake_.get(), kWakeTag);
    OpenListener();
    stop_ = false;
    // The new thread inherits this mask. Signals go to the program's other threads, and a write to a closed
    // connection raises no SIGPIPE.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { Loop(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void Stop() {
    if (!thread_.joinable()) return;
    RunOnLoop([this] {
      stop_ = true;
      listener_.Close();
      CloseConnections();
      timers_.clear();
      delayed_ = 0;
    });
    thread_.join();
  }

  void StopListening() {
    RunOnLoop([this] { listener_.Close(); });
  }

  void CloseAll() {
    RunOnLoop([this] { CloseConnections(); });
  }

  void SetConnectionFault(ConnectionFault fault) { connection_fault_ = fault; }
  std::uint16_t port() const { return port_; }
  std::size_t peak_delayed() const { return peak_delayed_; }

 private:
  class Connection;
  struct Timer {
    std::uint64_t connection;
    std::int32_t stream;
    std::optional<Reply> reply;  // none: close the connection
  };

  // Runs the command on the server's thread and waits for its end. Rethrows its exception here.
  void RunOnLoop(std::function<void()> command) {
    if (!thread_.joinable()) return;
    std::packaged_task<void()> task(std::move(command));
    std::future<void> done = task.get_future();
    {
      const std::lock_guard lock(commands_mutex_);
      commands_.push_back(std::move(task));
    }
    eventfd_write(wake_.get(), 1);
    done.get();
  }

  void OpenListener() {
    const std::string& path = options_.unix_socket;
    listener_ = path.empty() ? Listen(options_.host, port_) : ListenOnUnix(path);
    Watch(listener_.get(), kListenerTag);
  }

  void Watch(int fd, std::uint64_t tag) const {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) Fail("cannot watch a socket");
  }

  void Loop() {
    std::array<epoll_event, 256> events = {};
    while (!stop_) {
      const int count =
          epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), WaitMilliseconds());
      for (int i = 0; i < count; ++i) Dispatch(events.at(static_cast<std::size_t>(i)));
      FireTimers();
      FlushTouched();
    }
  }

  int WaitMilliseconds() const {
    if (timers_.empty()) return -1;
    const auto left = timers_.begin()->first - SteadyClock::now();
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 60'000));
  }

  void Dispatch(const epoll_event& event);
  void RunCommands();
  void Accept();
  void FireTimers();
  void FlushTouched();

  void CloseConnections() {
    while (!connections_.empty()) Forget(connections_.begin()->first);
  }

  void Forget(std::uint64_t id) {
    if (connections_.erase(id) > 0) handler_.OnClosed();
  }

  HttpServerOptions options_;
  Handler& handler_;
  std::string alpn_;
  SslContext context_;
  std::uint16_t port_ = 0;
  std::atomic<ConnectionFault> connection_fault_{ConnectionFault::kNone};
  std::atomic<std::size_t> peak_delayed_{0};
  std::thread thread_;
  FileDescriptor wake_;

  std::mutex commands_mutex_;
  std::vector<std::packaged_task<void()>> commands_;

  // While the server's thread runs, it alone uses the members below.
  bool stop_ = false;
  FileDescriptor epoll_;
  FileDescriptor listener_;
  std::uint64_t last_connection_ = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::uint64_t> touched_;  // connections that may have something to write
  std::multimap<SteadyClock::time_point, Timer> timers_;
  std::size_t delayed_ = 0;
  std::array<char, kReadSize> read_buffer_ = {};
};

class HttpServer::Impl::Connection : public CodecHost {
 public:
  Connection(Impl& server, std::uint64_t id, FileDescriptor fd)
      : server_(server), id_(id), fd_(std::move(fd)) {}

  // Returns false if the connection has ended.
  bool Begin(ConnectionFault fault);
  bool Read();
  bool Flush();

  void Perform(std::int32_t stream, Reply reply) {
    if (reply.action == Action::kListenerGone) server_.listener_.Close();
    if (codec_ != nullptr) codec_->Perform(stream, std::move(reply));
    Touch();
  }

  std::optional<Reply> HeaderRead(Request& request) override {
    request.connection = id_;
    request.client = ClientOf(ssl_.get());
    return server_.handler_.OnHeader(request);
  }

  void RequestRead(std::int32_t stream, const Request& request) override {
    Reply reply = server_.handler_.OnRequest(request);
    if (reply.delay.count() == 0) {
      Perform(stream, std::move(reply));
      return;
    }
    const SteadyClock::time_point due = SteadyClock::now() + reply.delay;
    server_.timers_.emplace(due, Timer{id_, stream, std::move(reply)});
    server_.delayed_++;
    server_.peak_delayed_ = std::max(server_.peak_delayed_.load(), server_.delayed_);
  }

  void EndAfterWriting(Ending ending) override {
    if (!ending_) ending_ = ending;
  }

 private:
  // Requests a Flush() at the end of this turn of the loop, so that all output of the turn is sent together.
  void Touch() {
    if (touched_) return;
    touched_ = true;
    server_.touched_.push_back(id_);
  }

  bool Handshake();
  bool ReadDiscarding();
  bool Write();
  bool End();
  bool Linger();
  void WatchFor(std::uint32_t events);

  Impl& server_;
  std::uint64_t id_;
  FileDescriptor fd_;
  std::unique_ptr<SSL, SslFree> ssl_;
  std::unique_ptr<Codec> codec_;
  std::string out_;
  std::size_t written_ = 0;
  std::uint32_t watched_ = EPOLLIN;
  std::optional<Ending> ending_;
  bool discarding_ = false;
  bool touched_ = false;
};

void HttpServer::Impl::Dispatch(const epoll_event& event) {
  if (event.data.u64 == kWakeTag) {
    RunCommands();
    return;
  }
  if (event.data.u64 == kListenerTag) {
    Accept();
    return;
  }
  const auto found = connections_.find(event.data.u64);
  if (found != connections_.end() && !found->second->Read()) Forget(event.data.u64);
}

void HttpServer::Impl::RunCommands() {
  eventfd_t ignored = 0;
  eventfd_read(wake_.get(), &ignored);
  std::vector<std::packaged_task<void()>> commands;
  {
    const std::lock_guard lock(commands_mutex_);
    commands.swap(commands_);
  }
  for (auto& command : commands) command();
}

void HttpServer::Impl::Accept() {
  while (listener_.get() >= 0) {
    FileDescriptor fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.get() < 0) return;
    handler_.OnAccepted();
    const std::uint64_t id = ++last_connection_;
    if (connections_.size() >= kMaxConnections) {
      handler_.OnClosed();
      continue;
    }
    Watch(fd.get(), id);
    auto& connection = connections_[id];
    connection = std::make_unique<Connection>(*this, id, std::move(fd));
    if (!connection->Begin(connection_fault_)) Forget(id);
  }
}

void HttpServer::Impl::FireTimers() {
  if (timers_.empty()) return;
  const auto now = SteadyClock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Timer timer = std::move(timers_.extract(timers_.begin()).mapped());
    if (timer.reply) delayed_--;
    const auto found = connections_.find(timer.connection);
    if (found == connections_.end()) continue;
    if (timer.reply) {
      found->second->Perform(timer.stream, std::move(*timer.reply));
    } else {
      Forget(timer.connection);
    }
  }
}

void HttpServer::Impl::FlushTouched() {
  std::vector<std::uint64_t> touched;
  touched.swap(touched_);
  for (const std::uint64_t id : touched) {
    const auto found = connections_.find(id);
    if (found != connections_.end() && !found->second->Flush()) Forget(id);
  }
}

bool HttpServer::Impl::Connection::Begin(ConnectionFault fault) {
  const int on = 1;
  setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  switch (fault) {
    case ConnectionFault::kNone:
      break;
    case ConnectionFault::kClose:
      return Linger();
    case ConnectionFault::kReset:
      ending_ = Ending::kReset;
      return End();
    case ConnectionFault::kGarbage:
      out_ = "220 this is neither TLS nor HTTP\r\n";
      return Write() && Linger();
    case ConnectionFault::kSilence:
      discarding_ = true;
      return true;
  }
  if (server_.context_ == nullptr) {
    const bool only_http2 = server_.options_.protocols == std::vector{Protocol::kHttp2};
    codec_ =
        only_http2 ? MakeHttp2Codec(*this, server_.options_.max_concurrent_streams) : MakeHttp1Codec(*this);
    return true;
  }
  ssl_.reset(SSL_new(server_.context_.get()));
  SSL_set_fd(ssl_.get(), fd_.get());
  SSL_set_accept_state(ssl_.get());
  return true;
}

bool HttpServer::Impl::Connection::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_WRITE) WatchFor(EPOLLIN | EPOLLOUT);
    // With TLS 1.3 the client may have sent data by now: left unread, they would cost it the alert.
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE || Linger();
  }
  WatchFor(EPOLLIN);
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  const std::string_view selected(reinterpret_cast<const char*>(name), size);
  if (selected == "h2") {
    codec_ = MakeHttp2Codec(*this, server_.options_.max_concurrent_streams);
    return true;
  }
  const auto& offered = server_.options_.protocols;
  if (std::find(offered.begin(), offered.end(), Protocol::kHttp1) == offered.end()) return false;
  codec_ = MakeHttp1Codec(*this);
  return true;
}

bool HttpServer::Impl::Connection::Read() {
  if (discarding_) return ReadDiscarding();
  if (codec_ == nullptr && !Handshake()) return false;
  if (codec_ == nullptr) return true;
  Touch();
  auto& buffer = server_.read_buffer_;
  while (!ending_) {
    if (ssl_ == nullptr) {
      const ssize_t size = recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
      if (size <= 0) return false;
      codec_->Receive({buffer.data(), static_cast<std::size_t>(size)});
      continue;
    }
    ERR_clear_error();
    const int size = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (size <= 0) return SSL_get_error(ssl_.get(), size) == SSL_ERROR_WANT_READ;
    codec_->Receive({buffer.data(), static_cast<std::size_t>(size)});
  }
  return true;
}

bool HttpServer::Impl::Connection::ReadDiscarding() {
  auto& buffer = server_.read_buffer_;
  ssize_t size = 0;
  do {
    size = recv(fd_.get(), buffer.data(), buffer.size(), 0);
  } while (size > 0);
  return size < 0 && (errno == EAGAIN || errno == EINTR);
}

bool HttpServer::Impl::Connection::Flush() {
  touched_ = false;
  if (discarding_) return true;
  for (;;) {
    if (written_ == out_.size()) {
      out_.clear();
      written_ = 0;
      if (codec_ != nullptr) codec_->Produce(out_);
      if (out_.empty()) break;
    }
    if (!Write()) return false;
    if (written_ < out_.size()) {
      WatchFor(ending_ ? EPOLLOUT : EPOLLIN | EPOLLOUT);
      return true;
    }
  }
  if (ending_) return End();
  WatchFor(EPOLLIN);
  return true;
}

bool HttpServer::Impl::Connection::Write() {
  while (written_ < out_.size()) {
    const char* bytes = out_.data() + written_;
    const std::size_t left = out_.size() - written_;
    if (ssl_ == nullptr) {
      const ssize_t size = send(fd_.get(), bytes, left, MSG_NOSIGNAL);
      if (size < 0) return errno == EAGAIN || errno == EINTR;
      written_ += static_cast<std::size_t>(size);
      continue;
    }
    ERR_clear_error();
    std::size_t size = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes, left, &size);
    if (result != 1) return SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_WRITE;
    written_ += size;
  }
  return true;
}

bool HttpServer::Impl::Connection::End() {
  if (ending_ == Ending::kReset) {
    const linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return false;
  }
  ERR_clear_error();
  if (ending_ == Ending::kPolite && ssl_ != nullptr) SSL_shutdown(ssl_.get());
  return Linger();
}

bool HttpServer::Impl::Connection::Linger() {
  shutdown(fd_.get(), SHUT_WR);
  discarding_ = true;
  WatchFor(EPOLLIN);
  server_.timers_.emplace(SteadyClock::now() + kLinger, Timer{id_, 0, std::nullopt});
  return ReadDiscarding();
}

void HttpServer::Impl::Connection::WatchFor(std::uint32_t events) {
  if (events == watched_) return;
  watched_ = events;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id_;
  epoll_ctl(server_.epoll_.get(), EPOLL_CTL_MOD, fd_.get(), &event);
}

HttpServer::HttpServer(HttpServerOptions options, Handler& handler)
    : impl_(std::make_unique<Impl>(std::move(options), handler)) {}
HttpServer::~HttpServer() = default;
std::uint16_t HttpServer::port() const { return impl_->port(); }
void HttpServer::Stop() { impl_->Stop(); }
void HttpServer::Start() { impl_->Start(); }
void HttpServer::StopListening() { impl_->StopListening(); }
void HttpServer::CloseConnections() { impl_->CloseAll(); }
void HttpServer::SetConnectionFault(ConnectionFault fault) { impl_->SetConnectionFault(fault); }
std::size_t HttpServer::peak_delayed() const { return impl_->peak_delayed(); }

}  // namespace tokend::fakes
