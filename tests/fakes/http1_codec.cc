#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "tests/fakes/http_codec.h"

namespace tokend::fakes {
namespace {

constexpr std::int32_t kOnlyStream = 1;  // one request at a time

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::size_t> ParseSize(std::string_view digits, int base) {
  std::size_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, value, base);
  if (digits.empty() || rest != end || error != std::errc()) return std::nullopt;
  return value;
}

class Http1Codec : public Codec {
 public:
  explicit Http1Codec(CodecHost& host) : host_(host) {}

  void Receive(std::string_view bytes) override {
    if (state_ == State::kEnded) return;
    in_.append(bytes);
    Advance();
  }

  void Perform(std::int32_t, Reply reply) override {
    if (state_ != State::kWaiting) return;
    switch (reply.action) {
      case Action::kAnswer:
        Answer(reply, reply.body, early_ || close_asked_ ? Connection::kClose : Connection::kKeep);
        return;
      case Action::kAnswerThenClose:
        Answer(reply, reply.body, Connection::kClose);
        return;
      case Action::kHeaderThenDrop:
        Answer(reply, "", Connection::kClose);
        return;
      case Action::kHalfBodyThenDrop:
        Answer(reply, std::string_view(reply.body).substr(0, reply.body.size() / 2), Connection::kClose);
        return;
      case Action::kBlackHole:
        return;
      case Action::kDrop:
      case Action::kGoAwayBelow:
      case Action::kListenerGone:
        End(Ending::kPolite);
        return;
      case Action::kCut:
        End(Ending::kCut);
        return;
      case Action::kReset:
      case Action::kStreamReset:
        End(Ending::kReset);
        return;
      case Action::kMalformed:
        out_ += "HTTP/one point one, 200\r\nthis is no header\r\n\r\n";
        End(Ending::kPolite);
        return;
    }
  }

  void Produce(std::string& out) override {
    out += out_;
    out_.clear();
  }

 private:
  enum class State { kHeader, kBody, kChunkSize, kChunk, kTrailer, kWaiting, kEnded };
  enum class Connection { kKeep, kClose };

  void End(Ending ending) {
    state_ = State::kEnded;
    host_.EndAfterWriting(ending);
  }

  void Refuse(int status) {
    state_ = State::kWaiting;
    Reply refusal;
    refusal.status = status;
    Answer(refusal, "", Connection::kClose);
  }

  // Sends `body`. The header gives the length of the reply's own body, which may differ.
  void Answer(const Reply& reply, std::string_view body, Connection connection) {
    out_ += "HTTP/1.1 ";
    out_ += std::to_string(reply.status);
    out_ += reply.status < 300 ? " OK\r\n" : " Refused\r\n";
    for (const auto& [name, value] : reply.headers)
      out_.append(name).append(": ").append(value).append("\r\n");
    const bool has_body = reply.status != 204 && reply.status != 304;
    if (has_body) out_ += "content-length: " + std::to_string(reply.body.size()) + "\r\n";
    if (connection == Connection::kClose) out_ += "connection: close\r\n";
    out_ += "\r\n";
    if (has_body) out_ += body;
    if (connection == Connection::kClose) {
      End(Ending::kPolite);
      return;
    }
    state_ = State::kHeader;
    if (!advancing_) Advance();
  }

  // Parses until it needs more bytes or waits for a reply.
  void Advance() {
    advancing_ = true;
    while (Step()) {
    }
    advancing_ = false;
  }

  bool Step() {
    switch (state_) {
      case State::kHeader:
        return ReadHeader();
      case State::kBody:
        return ReadBody();
      case State::kChunkSize:
        return ReadChunkSize();
      case State::kChunk:
        return ReadChunk();
      case State::kTrailer:
        return ReadTrailer();
      case State::kWaiting:
      case State::kEnded:
        return false;
    }
    return false;
  }

  bool ReadHeader() {
    const std::size_t end = in_.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (in_.size() > kMaxRequestHeader) Refuse(431);
      return false;
    }
    request_ = Request{};
    request_.protocol = Protocol::kHttp1;
    close_asked_ = false;
    const bool understood = ParseHeader(std::string_view(in_).substr(0, end + 2));
    in_.erase(0, end + 4);
    if (!understood) {
      Refuse(400);
      return false;
    }
    std::optional<Reply> early = host_.HeaderRead(request_);
    early_ = early.has_value();
    if (early) {
      state_ = State::kWaiting;
      Perform(kOnlyStream, std::move(*early));
    }
    return true;
  }

  bool ParseHeader(std::string_view header) {
    const std::size_t line_end = header.find("\r\n");
    const std::string_view line = header.substr(0, line_end);
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last || line.substr(last + 1) != "HTTP/1.1") return false;
    request_.method = line.substr(0, first);
    request_.path = line.substr(first + 1, last - first - 1);
    header.remove_prefix(line_end + 2);

    expected_ = 0;
    state_ = State::kBody;
    bool continue_asked = false;
    while (!header.empty()) {
      const std::size_t end = header.find("\r\n");
      const std::string_view field = header.substr(0, end);
      header.remove_prefix(end + 2);
      const std::size_t colon = field.find(':');
      if (colon == std::string_view::npos) return false;
      const std::string name = Lower(field.substr(0, colon));
      const std::string_view value = Trim(field.substr(colon + 1));
      if (name == "authorization") request_.authorization = value;
      if (name == "content-type") request_.content_type = value;
      if (name == "connection" && Lower(value) == "close") close_asked_ = true;
      if (name == "expect" && Lower(value) == "100-continue") continue_asked = true;
      if (name == "transfer-encoding" && Lower(value) == "chunked") state_ = State::kChunkSize;
      if (name == "content-length") {
        const std::optional<std::size_t> size = ParseSize(value, 10);
        if (!size || *size > kMaxRequestBody) return false;
        expected_ = *size;
      }
    }
    if (continue_asked) out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    return true;
  }

  bool ReadBody() {
    if (in_.size() < expected_) return false;
    request_.body = in_.substr(0, expected_);
    in_.erase(0, expected_);
    return Finish();
  }

  bool ReadChunkSize() {
    const std::size_t end = in_.find("\r\n");
    if (end == std::string::npos) return false;
    const std::optional<std::size_t> size = ParseSize(std::string_view(in_).substr(0, end), 16);
    in_.erase(0, end + 2);
    if (!size || request_.body.size() + *size > kMaxRequestBody) {
      Refuse(400);
      return false;
    }
    expected_ = *size;
    state_ = expected_ == 0 ? State::kTrailer : State::kChunk;
    return true;
  }

  bool ReadChunk() {
    if (in_.size() < expected_ + 2) return false;
    request_.body.append(in_, 0, expected_);
    in_.erase(0, expected_ + 2);
    state_ = State::kChunkSize;
    return true;
  }

  bool ReadTrailer() {
    const std::size_t end = in_.find("\r\n");
    if (end == std::string::npos) return false;
    in_.erase(0, end + 2);
    return end > 0 || Finish();
  }

  bool Finish() {
    state_ = State::kWaiting;
    host_.RequestRead(kOnlyStream, request_);
    return true;
  }

  CodecHost& host_;
  State state_ = State::kHeader;
  Request request_;
  bool close_asked_ = false;
  bool early_ = false;  // answered before its body, so the next bytes on the connection are no request
  bool advancing_ = false;
  std::size_t expected_ = 0;  // remaining bytes of the body, or of the chunk
  std::string in_;
  std::string out_;
};

}  // namespace

std::unique_ptr<Codec> MakeHttp1Codec(CodecHost& host) { return std::make_unique<Http1Codec>(host); }

}  // namespace tokend::fakes
