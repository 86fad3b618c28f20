#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "tests/fakes/http_codec.h"

namespace tokend::fakes {
namespace {

constexpr std::size_t kProduceAtOnce = std::size_t{256} << 10;
constexpr std::int32_t kConnectionWindow = 1 << 24;
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 32;

nghttp2_nv Field(const std::string& name, const std::string& value) {
  // nghttp2 takes non-const pointers, but only copies from them.
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

class Http2Codec : public Codec {
 public:
  Http2Codec(CodecHost& host, std::uint32_t max_concurrent_streams) : host_(host) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, OnFrameSent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClosed);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_closed_streams(option, 1);
    // libcurl 7.88 resets each stream after its answer. nghttp2 counts these resets as an attack by default,
    // and ends the connection after about a thousand calls in a second.
    nghttp2_option_set_stream_reset_rate_limit(option, kNoLimit, kNoLimit);
    nghttp2_session_server_new2(&session_, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);

    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_concurrent_streams}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  }

  ~Http2Codec() override { nghttp2_session_del(session_); }
  Http2Codec(const Http2Codec&) = delete;
  Http2Codec& operator=(const Http2Codec&) = delete;

  void Receive(std::string_view bytes) override {
    const auto taken =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    const bool over = nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
    if (taken < 0 || over) host_.EndAfterWriting(Ending::kPolite);
  }

  void Perform(std::int32_t id, Reply reply) override {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    Stream& stream = found->second;
    stream.reply = std::move(reply);
    stream.limit = stream.reply.body.size();
    switch (stream.reply.action) {
      case Action::kAnswer:
        Answer(id, stream);
        return;
      case Action::kAnswerThenClose:
        nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                              NGHTTP2_NO_ERROR, nullptr, 0);
        end_when_idle_ = true;
        Answer(id, stream);
        return;
      case Action::kHeaderThenDrop:
        AnswerPart(id, stream, 0);
        return;
      case Action::kHalfBodyThenDrop:
        AnswerPart(id, stream, stream.reply.body.size() / 2);
        return;
      case Action::kBlackHole:
        return;
      case Action::kDrop:
      case Action::kListenerGone:
        host_.EndAfterWriting(Ending::kPolite);
        return;
      case Action::kCut:
        host_.EndAfterWriting(Ending::kCut);
        return;
      case Action::kReset:
        host_.EndAfterWriting(Ending::kReset);
        return;
      case Action::kStreamReset:
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, stream.reply.http2_error);
        return;
      case Action::kGoAwayBelow:
        nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, std::max(id - 2, 0), NGHTTP2_NO_ERROR, nullptr, 0);
        host_.EndAfterWriting(Ending::kPolite);
        return;
      case Action::kMalformed:
        garbage_ = "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n";
        host_.EndAfterWriting(Ending::kPolite);
        return;
    }
  }

  void Produce(std::string& out) override {
    while (out.size() < kProduceAtOnce) {
      const std::uint8_t* bytes = nullptr;
      const auto size = nghttp2_session_mem_send(session_, &bytes);
      if (size <= 0) break;
      out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    }
    out += garbage_;
    garbage_.clear();
  }

 private:
  struct Stream {
    Request request;
    bool ignored = false;  // answered before its body was read
    Reply reply;
    std::size_t sent = 0;   // of the reply's body
    std::size_t limit = 0;  // bytes of the reply's body that may be sent
  };

  void Answer(std::int32_t id, Stream& stream) {
    const std::string status_name = ":status";
    const std::string status = std::to_string(stream.reply.status);
    const std::string length_name = "content-length";
    const std::string length = std::to_string(stream.reply.body.size());
    const bool has_body =
        !stream.reply.header_only && stream.reply.status != 204 && stream.reply.status != 304;
    std::vector<nghttp2_nv> fields = {Field(status_name, status)};
    for (const auto& [name, value] : stream.reply.headers) fields.push_back(Field(name, value));
    if (has_body) fields.push_back(Field(length_name, length));
    nghttp2_data_provider provider = {};
    provider.source.ptr = &stream;
    provider.read_callback = ReadBody;
    nghttp2_submit_response(session_, id, fields.data(), fields.size(), has_body ? &provider : nullptr);
  }

  void AnswerPart(std::int32_t id, Stream& stream, std::size_t limit) {
    stream.limit = limit;
    Answer(id, stream);
    host_.EndAfterWriting(Ending::kPolite);
  }

  static ssize_t ReadBody(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t size,
                          std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const std::size_t count = std::min(size, stream.limit - stream.sent);
    std::memcpy(buffer, stream.reply.body.data() + stream.sent, count);
    stream.sent += count;
    if (stream.sent == stream.reply.body.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream.reply.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> fields;
        for (const auto& [name, value] : stream.reply.trailers) fields.push_back(Field(name, value));
        nghttp2_submit_trailer(session, id, fields.data(), fields.size());
      }
    }
    if (count == 0 && stream.sent < stream.reply.body.size()) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(count);
  }

  Stream* Find(std::int32_t id) {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : &found->second;
  }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    static_cast<Http2Codec*>(self)->streams_[frame->hd.stream_id].request.protocol = Protocol::kHttp2;
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                      void* self) {
    Stream* stream = static_cast<Http2Codec*>(self)->Find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const std::string_view field(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (field == ":authority") stream->request.authority = text;
    if (!field.starts_with(':')) stream->request.headers.emplace_back(field, text);
    if (field == ":method") stream->request.method = text;
    if (field == ":path") stream->request.path = text;
    if (field == "authorization") stream->request.authorization = text;
    if (field == "content-type") stream->request.content_type = text;
    return 0;
  }

  static int OnData(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                    std::size_t size, void* self) {
    Stream* stream = static_cast<Http2Codec*>(self)->Find(id);
    if (stream == nullptr || stream->ignored) return 0;
    if (stream->request.body.size() + size > kMaxRequestBody) {
      stream->ignored = true;
      return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
    stream->request.body.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* context) {
    auto* self = static_cast<Http2Codec*>(context);
    const std::int32_t id = frame->hd.stream_id;
    Stream* stream = self->Find(id);
    if (stream == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      std::optional<Reply> early = self->host_.HeaderRead(stream->request);
      if (early) {
        stream->ignored = true;
        self->Perform(id, std::move(*early));
      }
    }
    const bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                      (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (ends && !stream->ignored) self->host_.RequestRead(id, stream->request);
    return 0;
  }

  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* self) {
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    const Stream* stream = static_cast<Http2Codec*>(self)->Find(frame->hd.stream_id);
    if (stream == nullptr || !stream->reply.reset_after_answer) return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  }

  static int OnStreamClosed(nghttp2_session*, std::int32_t id, std::uint32_t, void* context) {
    auto* self = static_cast<Http2Codec*>(context);
    self->streams_.erase(id);
    if (self->end_when_idle_ && self->streams_.empty()) self->host_.EndAfterWriting(Ending::kPolite);
    return 0;
  }

  CodecHost& host_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, Stream> streams_;
  std::string garbage_;
  bool end_when_idle_ = false;
};

}  // namespace

std::unique_ptr<Codec> MakeHttp2Codec(CodecHost& host, std::uint32_t max_concurrent_streams) {
  return std::make_unique<Http2Codec>(host, max_concurrent_streams);
}

}  // namespace tokend::fakes
