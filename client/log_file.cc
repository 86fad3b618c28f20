#include "client/log_file.h"

#include <utility>

#include "daemon/audit/events.h"
#include "daemon/base/sha256.h"

namespace tokend::client {
namespace {

// Records have no "level"; lines of the operational log do, and those of a checkpoint also "seq" and "prev".
bool LooksLikeARecord(std::string_view line) {
  const auto has = [line](std::string_view key) { return line.find(key) != std::string_view::npos; };
  return (has("\"seq\":") || has("\"prev\":")) && !has("\"level\":");
}

}  // namespace

LogFile::LogFile(std::unique_ptr<InputFile> input)
    : path_(input->path()), size_(input->size()), input_(std::move(input)) {}

Result<std::unique_ptr<LogFile>> LogFile::Begin(std::unique_ptr<InputFile> input) {
  std::unique_ptr<LogFile> file(new LogFile(std::move(input)));
  const Result<bool> found = file->Advance();
  if (!found.ok()) return found.status();
  if (!*found) {
    file->reading_.reset();
    return file;
  }
  const audit::RecordView& record = file->record();
  file->first_ = First{record.seq, std::string(record.prev), Sha256Hex(file->text()),
                       record.event == audit::event::kAuditRecovered, std::string(record.detail)};
  // Many files may be open: their buffers are made when they are read.
  file->Restart();
  return file;
}

void LogFile::Restart() {
  held_ = !input_->Rewind();
  if (held_) return;
  reading_.reset();
  record_ = nullptr;
  line_ = skipped_ = damaged_ = unreadable_ = first_unreadable_line_ = 0;
}

std::string LogFile::Instead() const {
  if (!input_->foreign_compression().empty()) {
    return "is compressed with " + std::string(input_->foreign_compression()) +
           ": unpack it first, or use gzip or zstd";
  }
  if (unreadable_ == 0) return half_line_ ? "holds half a line, and no record" : "is empty";
  return "is no audit log: " + (unreadable_ == 1
                                    ? "its one line is no record"
                                    : "its " + std::to_string(unreadable_) + " lines are no records");
}

Result<bool> LogFile::Advance() {
  if (std::exchange(held_, false)) return true;
  if (reading_ == nullptr) reading_ = std::make_unique<Reading>(*input_);
  skipped_ = damaged_ = 0;
  while (true) {
    const auto line = reading_->lines.Next();
    if (!line.ok()) return line.status();
    if (!line->has_value()) return false;
    ++line_;
    text_ = (*line)->text;
    record_ = (*line)->whole ? reading_->parser.Parse(text_) : nullptr;
    if (record_ != nullptr) return true;
    half_line_ = reading_->lines.cut_off();
    if (half_line_) continue;
    ++skipped_;
    if (LooksLikeARecord(text_)) ++damaged_;
    if (unreadable_++ == 0) first_unreadable_line_ = line_;
  }
}

void LogFile::ForgetSkipped() {
  unreadable_ -= std::exchange(skipped_, 0);
  damaged_ = 0;
  half_line_ = false;
}

void LogFile::Close() {
  reading_.reset();
  input_.reset();
}

}  // namespace tokend::client
