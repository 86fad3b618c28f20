#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// Records and their lines have times in microseconds, by the wall clock.
using RecordTime = std::chrono::sys_time<std::chrono::microseconds>;

RecordTime TimeOf(const v1::Record& record);
void SetTime(RecordTime time, v1::Record& record);

// RFC 3339 in UTC with six digits of the second, such as "2026-01-02T03:04:05.000006Z".
std::string TimeText(RecordTime time);

// Reads what TimeText writes. Nothing for any other text.
std::optional<RecordTime> ParseTime(std::string_view text);

inline constexpr std::size_t kMaxLine = std::size_t{16} * 1024;  // the newline included
inline constexpr std::size_t kMaxCallerName = 2048;              // as long as a SPIFFE ID may be
inline constexpr std::size_t kMaxRequestText = 1024;
inline constexpr std::size_t kMaxDetail = 1024;

// Cuts the texts that a caller chose in a request.* record: each to kMaxRequestText, and all scopes together
// to as much.
void CutRequestTexts(v1::Record& record);

// Writes the record as one JSON object without a newline, shorter than kMaxLine. Keys have the schema's
// order, numbers are JSON numbers, and the text is valid UTF-8 without raw control characters. Texts that do
// not fit are cut, but never the valid target of a token.intended. Pure.
std::string ToLine(const v1::Record& record);

}  // namespace tokend::audit
