// line-worker's streams with hiredis (C++17):
//
//   c++ -std=c++17 -O2 client.cpp -lhiredis -o client
//
//   ./client publish part.jpg --camera c1       publish a frame; prints its id
//   ./client results --label-maps ./maps        each verdict from now on; the labelMap of each NG as a PNG
//   ./client alerts --group my-subscriber       each alert, until it has been acknowledged
//
// LINE_REDIS__URL (redis://127.0.0.1:6379/0) and LINE_LINE (line1) in the environment say where the line is.

#include <hiredis/hiredis.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using Words = std::vector<std::string>;
using Fields = std::map<std::string, std::string>;
using Reply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;

struct Lost : std::runtime_error {  // no connection, or no answer on it
    using runtime_error::runtime_error;
};
struct Refused : std::runtime_error {  // an answer, but an error
    using runtime_error::runtime_error;
    bool is(const std::string& word) const { return std::string(what()).rfind(word, 0) == 0; }
};

constexpr int block_s = 5;

std::string environment(const char* name, const char* otherwise) {
    const char* value = std::getenv(name);
    return value ? value : otherwise;
}

// A connection that notices a silent network, connects again at the next command, and tries nothing twice: a frame
// sent twice is two frames.
class Redis {
public:
    Reply operator()(const Words& words) {
        if (!context_) connect();
        return call(words);
    }

private:
    void connect() {
        static const std::regex form("redis://(?:([^:@/]*):([^@/]*)@)?([^:/]+)(?::([0-9]+))?(?:/([0-9]+))?");
        std::string url = environment("LINE_REDIS__URL", "redis://127.0.0.1:6379/0");
        std::smatch part;
        if (!std::regex_match(url, part, form)) throw std::runtime_error("not redis://[user:password@]host:port/db");
        int port = part[4].matched ? std::stoi(part[4]) : 6379;
        context_.reset(redisConnectWithTimeout(part[3].str().c_str(), port, {5, 0}));
        if (!context_ || context_->err) lose();
        redisSetTimeout(context_.get(), {3 * block_s, 0});  // longer than a blocked read
        try {
            if (part[2].length()) call(part[1].length() ? Words{"AUTH", part[1], part[2]} : Words{"AUTH", part[2]});
            if (part[5].matched) call({"SELECT", part[5]});
        } catch (...) {
            context_.reset();
            throw;
        }
    }

    Reply call(const Words& words) {
        std::vector<const char*> starts;
        std::vector<size_t> lengths;  // bytes may hold zeros
        for (const auto& word : words) {
            starts.push_back(word.data());
            lengths.push_back(word.size());
        }
        auto* raw = redisCommandArgv(context_.get(), int(words.size()), starts.data(), lengths.data());
        Reply reply(static_cast<redisReply*>(raw), freeReplyObject);
        if (!reply) lose();
        if (reply->type != REDIS_REPLY_ERROR) return reply;
        std::string error(reply->str, reply->len);
        if (error.rfind("LOADING", 0) == 0) throw Lost(error);  // it has just been started
        throw Refused(error);
    }

    [[noreturn]] void lose() {
        std::string why = context_ ? context_->errstr : "out of memory";
        context_.reset();
        throw Lost(why);
    }

    std::unique_ptr<redisContext, decltype(&redisFree)> context_{nullptr, redisFree};
};

std::string text(const redisReply* reply) { return {reply->str, reply->len}; }

Fields fields_of(const redisReply* flat) {
    Fields fields;
    for (size_t i = 0; i + 1 < flat->elements; i += 2) fields[text(flat->element[i])] = text(flat->element[i + 1]);
    return fields;
}

// The entries in an answer to XREAD or XREADGROUP of one stream: each its id and its fields.
std::vector<redisReply*> entries_of(const Reply& page) {
    if (page->type == REDIS_REPLY_NIL) return {};
    redisReply* entries = page->element[0]->element[1];
    return {entries->element, entries->element + entries->elements};
}

void wait_for_redis(const Lost& error) {
    std::cerr << "no Redis: " << error.what() << std::endl;
    std::this_thread::sleep_for(std::chrono::seconds(1));
}

// One XADD with flat fields. More of them (seq, part_id, deadline_ms, reply_to ...) are in line-worker's README.
void publish(Redis& redis, const std::string& line, const std::string& path, const std::string& camera) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::string data(std::istreambuf_iterator<char>(file), {});
    static const Fields encodings{{"png", "png"}, {"webp", "webp"}, {"bmp", "bmp"}};
    auto known = encodings.find(path.substr(path.rfind('.') + 1));
    std::string encoding = known == encodings.end() ? "jpeg" : known->second;
    Reply id = redis({"XADD", line + ":frames", "*", "camera", camera, "encoding", encoding, "data", data});
    std::cout << text(id.get()) << std::endl;
}

// Follow the results; what was given before is left out.
void results(Redis& redis, const std::string& line, const std::string& label_maps) {
    std::string stream = line + ":results", block_ms = std::to_string(1000 * block_s);
    std::string last;
    for (;;) {
        try {
            if (last.empty()) {  // not "$" at each read: what came between two reads would be lost
                Reply newest = redis({"XREVRANGE", stream, "+", "-", "COUNT", "1"});
                last = newest->elements ? text(newest->element[0]->element[0]) : "0";
            }
            Reply page = redis({"XREAD", "COUNT", "100", "BLOCK", block_ms, "STREAMS", stream, last});
            for (auto* entry : entries_of(page)) {
                Fields result = fields_of(entry->element[1]);
                std::cout << result["frame"] << ' ' << result["camera"] << ' ' << result["verdict"] << ' '
                          << (result["score"].empty() ? "-" : result["score"]) << std::endl;
                if (!label_maps.empty() && result["verdict"] == "NG") {
                    std::ofstream(label_maps + "/" + result["frame"] + ".png", std::ios::binary) << result["label_map"];
                }
                last = text(entry->element[0]);
            }
        } catch (const Lost& error) {
            wait_for_redis(error);
        }
    }
}

// Your part. After a crash an alert may come again: `alert_id`, `state` and `at` are then the same.
void handle(Fields alert) {
    std::cout << alert["alert_id"] << ' ' << alert["state"] << ' ' << alert["message"] << std::endl;
}

// Unless it exists.
void create_group(Redis& redis, const std::string& stream, const std::string& group, const std::string& start) {
    try {
        redis({"XGROUP", "CREATE", stream, group, start, "MKSTREAM"});
    } catch (const Refused& error) {
        if (!error.is("BUSYGROUP")) throw;
    }
}

// Handle each alert at least once: it is acknowledged after it was handled, and else comes again.
void alerts(Redis& redis, const std::string& line, const std::string& group, const std::string& consumer) {
    std::string stream = line + ":alerts", block_ms = std::to_string(1000 * block_s);
    std::string begin = "$";     // a new subscriber begins with what comes from now on; a group that exists goes on
    std::string position = "0";  // first what this consumer was given before and did not acknowledge
    for (;;) {
        try {
            if (!begin.empty()) create_group(redis, stream, group, begin);
            begin.clear();
            Reply page = redis({"XREADGROUP", "GROUP", group, consumer, "COUNT", "100", "BLOCK", block_ms, "STREAMS",
                                stream, position});
            auto entries = entries_of(page);
            for (auto* entry : entries) {
                // Without fields: it was trimmed in the meantime.
                if (entry->element[1]->type == REDIS_REPLY_ARRAY) handle(fields_of(entry->element[1]));
                redis({"XACK", stream, group, text(entry->element[0])});
            }
            if (position != ">") position = entries.empty() ? ">" : text(entries.back()->element[0]);
        } catch (const Refused& error) {
            if (!error.is("NOGROUP") && !error.is("UNBLOCKED")) throw;
            begin = "0";  // Redis was emptied or the group deleted: take all there is
        } catch (const Lost& error) {
            wait_for_redis(error);
            position = "0";  // what was under way when it broke off
        }
    }
}

int main(int argc, char** argv) {
    char host[256] = "me";
    gethostname(host, sizeof host - 1);
    Fields options{{"--camera", "c1"}, {"--label-maps", ""}, {"--group", "my-subscriber"},
                   {"--consumer", host}};  // the same at each start, so that it goes on
    std::string command = argc > 1 ? argv[1] : "", file = command == "publish" && argc > 2 ? argv[2] : "";
    bool understood = command == "results" || command == "alerts" || !file.empty();
    for (int i = file.empty() ? 2 : 3; i < argc; i += 2) {
        auto option = options.find(argv[i]);
        if (option == options.end() || i + 1 == argc) understood = false;
        else option->second = argv[i + 1];
        if (!understood) break;
    }
    if (!understood) {
        std::cerr << "usage: client publish FILE [--camera NAME] | results [--label-maps FOLDER]"
                     " | alerts [--group NAME] [--consumer NAME]" << std::endl;
        return 2;
    }
    std::string line = "{" + environment("LINE_LINE", "line1") + "}";  // the braces are part of the keys
    Redis redis;
    try {
        if (command == "publish") publish(redis, line, file, options["--camera"]);
        if (command == "results") results(redis, line, options["--label-maps"]);
        if (command == "alerts") alerts(redis, line, options["--group"], options["--consumer"]);
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << std::endl;
        return 1;
    }
    return 0;
}
