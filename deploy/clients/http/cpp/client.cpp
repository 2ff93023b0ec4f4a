// Ask line-worker about one picture: ./client URL IMAGE OUTPUT   (C++17, libcurl, nlohmann-json)
//
//   c++ -std=c++17 -O2 client.cpp -lcurl -o client
//
// URL is like http://127.0.0.1:8080/image-anomaly-detection. Exit code: 0 OK, 1 NG, 2 anything else, so that a part
// passes only where the service said OK. LINE_API_KEY in the environment is sent where the service asks for keys.

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>

using nlohmann::json;

constexpr int tries = 5;
constexpr curl_off_t longest_wait_s = 30;
const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_base64(const std::string& bytes) {
    std::string text;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 3; k++) group = group << 8 | (k < bytes.size() ? uint8_t(bytes[k]) : 0);
        for (int shift = 18; shift >= 0; shift -= 6) text += alphabet[group >> shift & 63];
    }
    for (size_t k = text.size() - (3 - bytes.size() % 3) % 3; k < text.size(); k++) text[k] = '=';
    return text;
}

std::string from_base64(const std::string& text) {
    std::string bytes;
    uint32_t group = 0;
    int bits = 0;
    for (char c : text) {
        size_t value = alphabet.find(c);
        if (value == std::string::npos) break;  // the = at the end
        group = group << 6 | uint32_t(value);
        if ((bits += 6) >= 8) bytes += char(group >> (bits -= 8) & 255);
    }
    return bytes;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

size_t append(char* data, size_t, size_t size, void* text) {
    static_cast<std::string*>(text)->append(data, size);
    return size;
}

json read_answer(long status, const std::string& text) {
    json answer = json::parse(text, nullptr, false);
    if (!answer.is_object()) answer = json::object();  // not from the service: a proxy, another program
    if (status != 200 || answer.value("errorCode", -1) != 0) {
        throw std::runtime_error(std::to_string(status) + ": " + answer.value("errorMsg", text.substr(0, 200)));
    }
    return answer.at("result");
}

// What the service says of a picture: the field `result` of its answer.
json ask(const std::string& url, const std::string& image) {
    std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
    curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
    if (const char* key = std::getenv("LINE_API_KEY")) {
        list = curl_slist_append(list, (std::string("X-API-Key: ") + key).c_str());
    }
    std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, curl_slist_free_all);

    std::string body = json{{"image", to_base64(image)}, {"visualize", true}}.dump();
    std::string text;
    curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, long(body.size()));
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &text);
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 60L);
    for (int attempt = 1;; attempt++) {
        text.clear();
        if (CURLcode code = curl_easy_perform(curl.get())) throw std::runtime_error(curl_easy_strerror(code));
        long status = 0;
        curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
        curl_off_t after = 0;  // the line is full, or not ready yet; 0: it is not worth another try
        curl_easy_getinfo(curl.get(), CURLINFO_RETRY_AFTER, &after);
        if (!after || attempt == tries) return read_answer(status, text);
        std::this_thread::sleep_for(std::chrono::seconds(std::min(after, longest_wait_s)));
    }
}

int run(const std::string& url, const std::string& image, const std::string& output) {
    json result = ask(url, read_file(image));
    json size = result.at("size").is_array() ? result.at("size") : json{0, 0};  // height, width
    const json& label_map = result.at("labelMap");  // row by row: 255 is an anomaly, 0 is none
    if (label_map.size() != size.at(0).get<size_t>() * size.at(1).get<size_t>()) {
        throw std::runtime_error(std::to_string(label_map.size()) + " values in a labelMap of size " + size.dump());
    }
    auto anomalous = std::count_if(label_map.begin(), label_map.end(), [](const json& value) { return value != 0; });
    if (result.at("image").is_string()) {
        std::ofstream file(output, std::ios::binary);
        if (!(file << from_base64(result.at("image")))) throw std::runtime_error("cannot write " + output);
    }
    std::string verdict = result.at("verdict");
    std::cout << verdict << ": score " << result.at("score") << ", threshold " << result.at("threshold") << ", size "
              << size[0] << " x " << size[1] << ", " << anomalous << " anomalous pixels" << std::endl;
    return verdict == "OK" ? 0 : verdict == "NG" ? 1 : 2;  // INVALID and LATE: nobody knows
}

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: client URL IMAGE OUTPUT" << std::endl;
        return 2;
    }
    try {
        return run(argv[1], argv[2], argv[3]);
    } catch (const std::exception& error) {  // whatever it was: not OK
        std::cerr << "error: " << error.what() << std::endl;
        return 2;
    }
}
