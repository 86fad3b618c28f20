#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string_view>

#include "daemon/base/caller_name.h"
#include "daemon/base/peer_user.h"
#include "daemon/base/text.h"
#include "daemon/config/address.h"
#include "daemon/config/steps.h"

namespace tokend::config {
namespace {

// The paths of the keys that bind an address, by the address as it is written: two spellings of one host
// count as different.
using BoundAddresses = std::map<std::string, std::string>;

void Bind(const Address& address, const std::string& path, BoundAddresses& bound, Report& report) {
  const auto* tcp = std::get_if<TcpAddress>(&address);
  if (tcp != nullptr && tcp->port == 0) return;  // any free port: never clashes
  const auto [first, is_first] = bound.insert({ToString(address), path});
  if (!is_first) report.Error(path, Concat({"is the same as ", first->second}));
}

void CheckNotReserved(std::string_view name, const std::string& path, Report& report) {
  const std::string_view prefix = ReservedPrefixOf(name);
  if (prefix.empty()) return;
  report.Error(path,
               Concat({"must not begin with ", prefix, ", which another kind of authentication makes"}));
}

void CheckNone(const v1::NoAuthentication& none, const Address& address, const std::string& path,
               Report& report) {
  if (IsLocal(address)) {
    report.Warning(path, "everyone who can connect is this caller: for development only");
  } else {
    report.Error(path, "is accepted only on a unix socket or a loopback address");
  }
  CheckNotReserved(none.caller(), Under(path, "caller"), report);
}

void CheckUnix(const v1::UnixAuthentication& by_uid, const Address& address, const std::string& path,
               Report& report) {
  if (!std::holds_alternative<UnixAddress>(address)) report.Error(path, "is only for a unix socket");
  for (int i = 0; i < by_uid.callers_size(); ++i) {
    const v1::UnixCaller& caller = by_uid.callers(i);
    const std::string_view name = caller.name();
    if (caller.has_uid() && caller.uid() == OverflowUid()) {
      report.Warning(
          Under(Item(Under(path, "callers"), i), "uid"),
          "is the overflow uid, which stands for every user that a user namespace does not map: in "
          "one, such peers are unknown callers");
    }
    if (!caller.has_name() || (name.starts_with(kUnixPrefix) && name != kUnixPrefix)) continue;
    report.Error(Under(Item(Under(path, "callers"), i), "name"),
                 "must begin with unix: and have a name after it");
  }
}

void CheckJwt(const v1::JwtAuthentication& jwt, const std::string& path, Report& report) {
  if (!report.Has(Under(path, "jwks_url"))) {
    for (const char* key : {"jwks_ca_file", "jwks_token_file"}) {
      if (report.Has(Under(path, key))) report.Error(Under(path, key), "is only for jwks_url");
    }
  }
  const std::string own_prefix = Concat({kSpiffePrefix, jwt.trust_domain(), "/"});
  if (!jwt.trust_domain().empty() && jwt.caller().starts_with(own_prefix)) return;
  CheckNotReserved(jwt.caller(), Under(path, "caller"), report);
}

// The text with which every name begins that the template makes.
std::string_view FixedStart(std::string_view caller_template) {
  return caller_template.substr(0, caller_template.find('{'));
}

bool BeginAlike(std::string_view one, std::string_view other) {
  return one.starts_with(other) || other.starts_with(one);
}

bool HaveOwnTrustDomains(const v1::JwtAuthentication& one, const v1::JwtAuthentication& other) {
  const auto has_own = [](const v1::JwtAuthentication& jwt) {
    return !jwt.trust_domain().empty() &&
           BeginAlike(FixedStart(jwt.caller()), Concat({kSpiffePrefix, jwt.trust_domain(), "/"}));
  };
  return has_own(one) && has_own(other) && one.trust_domain() != other.trust_domain();
}

// One issuer must not be able to name the callers of another one.
void CheckIssuers(const v1::Config& schema, Report& report) {
  for (int i = 0; i < schema.listeners_size(); ++i) {
    const v1::Authentication& authentication = schema.listeners(i).authentication();
    if (!authentication.has_jwt()) continue;
    for (int j = 0; j < i; ++j) {
      const v1::Authentication& earlier = schema.listeners(j).authentication();
      if (!earlier.has_jwt() || !CanNameAlike(authentication.jwt(), earlier.jwt()) ||
          HaveOwnTrustDomains(authentication.jwt(), earlier.jwt())) {
        continue;
      }
      report.Error(Under(Item("listeners", i), "authentication.jwt"),
                   Concat({"can make the same names as ", Item("listeners", j),
                           ", which has another issuer: give each a trust_domain of its own, or `caller` "
                           "templates that begin with different text, neither of which begins the other"}));
      break;
    }
  }
}

void CheckSocketName(const std::string& socket, const std::string& path, Report& report) {
  const std::string folder = std::filesystem::path(socket).parent_path();
  constexpr std::size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
  const std::size_t max_folder = kMaxPath - std::string_view("/").size() - kNewSocketName.size();
  if (folder.size() > max_folder) {
    report.Error(path, Concat({"the folder of a listener's socket has at most ", std::to_string(max_folder),
                               " bytes"}));
  }
}

// A process that can replace the socket can pose as this daemon.
void CheckSocketPlace(const std::string& socket, const std::string& path, Report& report) {
  const std::string folder = std::filesystem::path(socket).parent_path();
  struct stat found {};
  if (stat(folder.c_str(), &found) == 0) {
    if ((found.st_mode & S_IWOTH) != 0) {
      report.Warning(path, "everyone may write to the socket's folder, and so replace the socket");
    }
    if (found.st_uid != 0 && found.st_uid != geteuid()) {
      report.Warning(path, Concat({"the socket's folder belongs to user ", std::to_string(found.st_uid),
                                   ", who may replace the socket"}));
    }
  }
  if (lstat(socket.c_str(), &found) != 0) return;
  if (!S_ISSOCK(found.st_mode)) {
    report.Error(path, S_ISLNK(found.st_mode) ? "a symbolic link is there: remove it first"
                                              : "a file that is not a socket is there: remove it first");
  } else if (found.st_uid != geteuid() && geteuid() != 0) {
    // Root may be checking on behalf of the daemon's user. A daemon that runs as root is as strict at its
    // start.
    report.Error(path, "another user's socket is there: remove it first");
  }
}

void CheckListener(v1::Listener& listener, const Address& address, const std::string& path, NamedFiles files,
                   Report& report) {
  if (!report.Has(Under(path, "tls")) && !IsLocal(address)) {
    report.Error(Under(path, "address"), "needs tls: it is neither a unix socket nor a loopback address");
  }
  if (const auto* socket = std::get_if<UnixAddress>(&address)) {
    CheckSocketName(socket->path, Under(path, "address"), report);
    if (files == NamedFiles::kJudged) CheckSocketPlace(socket->path, Under(path, "address"), report);
  } else {
    const std::string mode = Under(path, "socket_mode");
    if (report.Has(mode)) report.Error(mode, "is only for a unix socket");
    listener.clear_socket_mode();
  }
}

// `address` is null where it is not valid.
void CheckAuthentication(const v1::Listener& listener, const Address* address, const std::string& path,
                         Report& report) {
  const v1::Authentication& authentication = listener.authentication();
  const std::string key = Under(path, "authentication");
  switch (authentication.kind_case()) {
    case v1::Authentication::kUnix:
      if (address != nullptr) CheckUnix(authentication.unix(), *address, Under(key, "unix"), report);
      break;
    case v1::Authentication::kMtls:
      if (!report.Has(Under(path, "tls.client_ca_file"))) {
        report.Error(Under(key, "mtls"), "needs tls with client_ca_file");
      }
      break;
    case v1::Authentication::kJwt:
      CheckJwt(authentication.jwt(), Under(key, "jwt"), report);
      break;
    case v1::Authentication::kNone:
      if (address != nullptr) CheckNone(authentication.none(), *address, Under(key, "none"), report);
      break;
    case v1::Authentication::KIND_NOT_SET:  // has been reported
      break;
  }
}

}  // namespace

bool CanNameAlike(const v1::JwtAuthentication& one, const v1::JwtAuthentication& other) {
  return one.has_issuer() && other.has_issuer() && one.issuer() != other.issuer() && one.has_caller() &&
         other.has_caller() && BeginAlike(FixedStart(one.caller()), FixedStart(other.caller()));
}

void ApplyListenerRules(v1::Config& schema, NamedFiles files, Report& report) {
  BoundAddresses bound;
  for (int i = 0; i < schema.listeners_size(); ++i) {
    v1::Listener& listener = *schema.mutable_listeners(i);
    const std::string path = Item("listeners", i);
    const std::optional<Address> address =
        listener.has_address() ? std::optional(*ParseAddress(listener.address())) : std::nullopt;
    CheckAuthentication(listener, address ? &*address : nullptr, path, report);
    if (!address) continue;
    CheckListener(listener, *address, path, files, report);
    Bind(*address, Under(path, "address"), bound, report);
  }
  CheckIssuers(schema, report);
  if (schema.admin().has_address()) {
    Bind(*ParseAddress(schema.admin().address()), "admin.address", bound, report);
  }
}

}  // namespace tokend::config
