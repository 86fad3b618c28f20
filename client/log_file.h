#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/input_file.h"
#include "daemon/audit/log_reader.h"
#include "daemon/base/result.h"

namespace tokend::client {

// Walks over the records of one file of an audit log, in constant memory. One thread at a time.
class LogFile {
 public:
  // What the first record says.
  struct First {
    std::uint64_t seq = 0;
    std::string prev;
    std::string hash;        // SHA-256 of the line, hex
    bool recovered = false;  // the record is an audit.recovered
    std::string detail;
  };

  // Reads up to the first record. INVALID_ARGUMENT says why the file cannot be read.
  static Result<std::unique_ptr<LogFile>> Begin(std::unique_ptr<InputFile> input);

  // Nothing: no line of the file is a record.
  const std::optional<First>& first() const { return first_; }
  // What a file without a record is, in words that follow the file's name.
  std::string Instead() const;

  // Makes the next record the current one; the first call makes it the first record. Returns false at the
  // end of the file.
  Result<bool> Advance();

  // The current record, and its line without the newline: valid until the next call of Advance.
  std::string_view text() const { return text_; }
  const audit::RecordView& record() const { return *record_; }

  // The number of whole lines before the current record (or the end) that are no records, since the record
  // before it.
  std::uint64_t skipped() const { return skipped_; }
  // Those of them that look like damaged records, unlike other text that was collected with the records.
  std::uint64_t damaged() const { return damaged_; }
  // Says that these lines, and a half line, are not part of the log.
  void ForgetSkipped();

  // All such lines so far, and the number of the first of them.
  std::uint64_t unreadable() const { return unreadable_; }
  std::uint64_t first_unreadable_line() const { return first_unreadable_line_; }
  // At the end: the last line has no newline.
  bool half_line() const { return half_line_; }

  // Closes the file. Only the facts above remain.
  void Close();

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // The number of bytes read so far, as they are on the disk.
  std::uint64_t read() const { return input_ ? input_->read() : size_; }

 private:
  struct Reading {
    explicit Reading(InputFile& input) : lines(input) {}
    audit::LineReader lines;
    audit::LineParser parser;
  };

  explicit LogFile(std::unique_ptr<InputFile> input);
  void Restart();

  const std::string path_;
  const std::uint64_t size_;
  std::unique_ptr<InputFile> input_;
  std::unique_ptr<Reading> reading_;  // null: at the beginning
  std::optional<First> first_;
  bool held_ = false;  // a pipe: the current record is the first, and no call of Advance has returned it
  std::string_view text_;
  const audit::RecordView* record_ = nullptr;  // held by the parser
  std::uint64_t line_ = 0;
  std::uint64_t skipped_ = 0;
  std::uint64_t damaged_ = 0;
  std::uint64_t unreadable_ = 0;
  std::uint64_t first_unreadable_line_ = 0;
  bool half_line_ = false;
};

}  // namespace tokend::client
