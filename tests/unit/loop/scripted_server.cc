#include "tests/unit/loop/scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace tokend::loop {

bool Connection::ReadMore() {
  char buffer[16384];
  const ssize_t count = recv(socket_, buffer, sizeof buffer, 0);
  if (count <= 0) return false;
  unread_.append(buffer, static_cast<std::size_t>(count));
  const std::lock_guard lock(server_.mutex_);
  server_.received_.append(buffer, static_cast<std::size_t>(count));
  return true;
}

bool Connection::ReadHeader() {
  while (unread_.find("\r\n\r\n") == std::string::npos) {
    if (!ReadMore()) return false;
  }
  return true;
}

bool Connection::ReadRequest() {
  if (!ReadHeader()) return false;
  const std::size_t body = unread_.find("\r\n\r\n") + 4;
  const std::size_t field = unread_.find("Content-Length: ");
  const std::size_t size = field < body ? std::strtoul(unread_.c_str() + field + 16, nullptr, 10) : 0;
  while (unread_.size() < body + size) {
    if (!ReadMore()) return false;
  }
  unread_.erase(0, body + size);
  ++server_.posts_;
  return true;
}

bool Connection::Send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

void Connection::Reset() {
  const linger abort_at_close{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &abort_at_close, sizeof abort_at_close);
}

void Connection::AwaitClose() {
  while (ReadMore()) {
  }
}

ScriptedServer::ScriptedServer(Script script)
    : script_(std::move(script)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener_, generic, size) != 0 || listen(listener_, 1024) != 0 ||
      getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("cannot listen on loopback");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

ScriptedServer::~ScriptedServer() {
  StopListening();
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) shutdown(socket, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
}

std::string ScriptedServer::Url(std::string_view scheme) const {
  return std::string(scheme) + "://127.0.0.1:" + std::to_string(port_) + "/path";
}

void ScriptedServer::StopListening() {
  if (!acceptor_.joinable()) return;
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);  // wakes accept
  acceptor_.join();
  close(listener_);
}

void ScriptedServer::AwaitClosed() const {
  std::unique_lock lock(mutex_);
  closed_.wait(lock, [this] { return sockets_.empty(); });
}

std::string ScriptedServer::received() const {
  const std::lock_guard lock(mutex_);
  return received_;
}

void ScriptedServer::Accept() {
  while (!stopping_) {
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    const int number = ++connections_;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket, number] {
      Connection connection(*this, socket, number);
      script_(connection);
      const std::lock_guard closing(mutex_);
      std::erase(sockets_, socket);
      close(socket);
      closed_.notify_all();
    });
  }
}

std::string HttpAnswerText(int status, std::string_view body, std::string_view more_headers) {
  return "HTTP/1.1 " + std::to_string(status) + " Any\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + std::string(more_headers) + "\r\n" + std::string(body);
}

}  // namespace tokend::loop
