// Completes a text, in C++17: handles that free themselves, errors as exceptions.
//
//     c++ -std=c++17 complete.cpp -lbantam && ./a.out MODEL "The capital of France is"
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "bantam.h"

namespace {

struct Free {
    void operator()(bantam_model *model) const { bantam_model_free(model); }
    void operator()(bantam_session *session) const { bantam_session_free(session); }
};

void check(bantam_status status, const bantam_error &e) {
    if (status != BANTAM_OK) throw std::runtime_error(std::string(bantam_status_name(status)) + ": " + e.message);
}

std::unique_ptr<bantam_model, Free> open(const std::string &path) {
    bantam_error e;
    bantam_model *model = nullptr;
    check(bantam_model_open(path.data(), path.size(), nullptr, &model, &e), e);
    return std::unique_ptr<bantam_model, Free>(model);
}

std::unique_ptr<bantam_session, Free> start(const bantam_model *model) {
    bantam_error e;
    bantam_session *session = nullptr;
    check(bantam_session_open(model, nullptr, &session, &e), e);
    return std::unique_ptr<bantam_session, Free>(session);
}

}  // namespace

int main(int argc, char **argv) try {
    if (argc != 3) {
        std::cerr << "usage: " << argv[0] << " MODEL TEXT\n";
        return 2;
    }
    auto model = open(argv[1]);
    auto session = start(model.get());
    std::string_view text = argv[2];
    bantam_error e;
    check(bantam_session_prompt_text(session.get(), text.data(), text.size(), BANTAM_TEXT_ADD_SPECIAL, nullptr, &e), e);

    bantam_sampler_options sampler{};
    sampler.struct_size = sizeof sampler;
    sampler.temperature = -1;
    bantam_answer_options options{};
    options.struct_size = sizeof options;
    options.sampler = &sampler;
    options.max_tokens = 24;
    bantam_summary summary{};
    summary.struct_size = sizeof summary;
    // A function for pieces must not throw; this one cannot.
    auto show = [](void *, const bantam_piece *piece) -> int32_t {
        std::cout.write(piece->text, static_cast<std::streamsize>(piece->text_bytes)).flush();
        return 0;
    };
    std::cout << text;
    check(bantam_session_generate(session.get(), &options, show, nullptr, &summary, &e), e);
    std::cout << '\n' << summary.tokens << " tokens, mean log-probability " << summary.mean_logprob << '\n';
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
