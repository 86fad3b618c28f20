#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace tokend::client {

// An HTTP/2 server on a unix socket that speaks only frames, to end calls in ways in which no gRPC server
// does. It serves one connection at a time, on its own thread.
class RawDaemon {
 public:
  // A connection, at a request in `stream`.
  struct Request {
    int fd;
    std::uint32_t stream;

    void Send(char type, std::uint32_t to_stream, const std::string& payload) const {
      const std::string frame = Number(payload.size(), 3) + type + '\0' + Number(to_stream, 4) + payload;
      send(fd, frame.data(), frame.size(), MSG_NOSIGNAL);
    }
    void Reset(std::uint32_t code) const { Send(kReset, stream, Number(code, 4)); }
    void GoAway(std::uint32_t last_stream) const { Send(kGoAway, 0, Number(last_stream, 4) + Number(0, 4)); }
    void Close() const { shutdown(fd, SHUT_RDWR); }
  };
  using Act = std::function<void(const Request&)>;

  RawDaemon(std::string socket, Act act) : socket_(std::move(socket)), act_(std::move(act)) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(address.sun_path, socket_.c_str(), socket_.size() + 1);
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) std::abort();
    listen(listener_, 8);
    thread_ = std::thread([this] { Serve(); });
  }
  ~RawDaemon() {
    Vanish();
    shutdown(connection_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  RawDaemon(const RawDaemon&) = delete;
  RawDaemon& operator=(const RawDaemon&) = delete;

  int requests() const { return requests_; }

  // Takes no further connections, and removes the socket.
  void Vanish() {
    shutdown(listener_, SHUT_RDWR);
    unlink(socket_.c_str());
  }

 private:
  static constexpr char kHeaders = 1;
  static constexpr char kReset = 3;
  static constexpr char kSettings = 4;
  static constexpr char kGoAway = 7;
  static constexpr std::size_t kPreface = 24;
  static constexpr std::size_t kHead = 9;

  static std::string Number(std::size_t value, int bytes) {
    std::string text;
    for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8U * static_cast<unsigned>(i)));
    return text;
  }

  static bool Read(int fd, char* bytes, std::size_t count) {
    while (count > 0) {
      const ssize_t got = read(fd, bytes, count);
      if (got <= 0) return false;
      bytes += got;
      count -= static_cast<std::size_t>(got);
    }
    return true;
  }

  void Serve() {
    for (int fd = accept(listener_, nullptr, nullptr); fd >= 0; fd = accept(listener_, nullptr, nullptr)) {
      connection_ = fd;
      std::array<char, 70000> bytes;
      const Request settings{fd, 0};
      if (Read(fd, bytes.data(), kPreface)) settings.Send(kSettings, 0, "");
      while (Read(fd, bytes.data(), kHead)) {
        const auto byte = [&](int i) {
          return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i]));
        };
        const char type = bytes[3];
        const std::uint32_t stream = byte(7) << 8U | byte(8);
        if (!Read(fd, bytes.data() + kHead, byte(1) << 8U | byte(2))) break;
        if (type != kHeaders) continue;
        ++requests_;
        act_({fd, stream});
      }
      connection_ = -1;
      close(fd);
    }
  }

  const std::string socket_;
  const Act act_;
  const int listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::atomic<int> connection_{-1};
  std::atomic<int> requests_{0};
  std::thread thread_;
};

}  // namespace tokend::client
