// Ask line-worker about one picture: java -cp gson.jar Client.java URL IMAGE OUTPUT   (Java 17 or later, Gson 2.10)
//
// URL is like http://127.0.0.1:8080/image-anomaly-detection. Exit code: 0 OK, 1 NG, 2 anything else, so that a part
// passes only where the service said OK. LINE_API_KEY in the environment is sent where the service asks for keys.

import com.google.gson.Gson;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.Map;

public class Client {
    static final int TRIES = 5;
    static final int LONGEST_WAIT_S = 30;

    record Answer(Integer errorCode, String errorMsg, Result result) {}

    /** `labelMap` row by row: 255 is an anomaly, 0 is none. `size` is height, width. No score where no model looked. */
    record Result(String verdict, Double score, Double threshold, int[] size, int[] labelMap, String image) {}

    /** What the service says of a picture. */
    static Result ask(String url, byte[] image) throws IOException, InterruptedException {
        var body = new Gson().toJson(Map.of("image", Base64.getEncoder().encodeToString(image), "visualize", true));
        var request = HttpRequest.newBuilder(URI.create(url))
                .header("Content-Type", "application/json")
                .timeout(Duration.ofSeconds(60))
                .POST(HttpRequest.BodyPublishers.ofString(body));
        var key = System.getenv("LINE_API_KEY");
        if (key != null && !key.isEmpty()) {
            request.header("X-API-Key", key);
        }
        var client = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .connectTimeout(Duration.ofSeconds(10))
                .build();
        for (int attempt = 1; ; attempt++) {
            var response = client.send(request.build(), BodyHandlers.ofString());
            var after = response.headers().firstValue("Retry-After").orElse(""); // the line is full, or not ready yet
            if (!after.matches("\\d{1,9}") || attempt == TRIES) {
                return read(response);
            }
            Thread.sleep(1000L * Math.min(Integer.parseInt(after), LONGEST_WAIT_S));
        }
    }

    static Result read(HttpResponse<String> response) throws IOException {
        Answer answer = null;
        try {
            answer = new Gson().fromJson(response.body(), Answer.class);
        } catch (JsonParseException error) {
            // not from the service: a proxy, another program
        }
        if (answer == null || answer.errorCode() == null) {
            throw new IOException(response.statusCode() + ": " + response.body());
        }
        if (response.statusCode() != 200 || answer.errorCode() != 0) {
            throw new IOException(response.statusCode() + ": " + answer.errorMsg());
        }
        return answer.result();
    }

    static int run(String url, Path image, Path output) throws IOException, InterruptedException {
        var result = ask(url, Files.readAllBytes(image));
        int[] size = result.size() == null ? new int[] {0, 0} : result.size();
        int[] labelMap = result.labelMap() == null ? new int[0] : result.labelMap();
        if (labelMap.length != size[0] * size[1]) {
            throw new IOException(labelMap.length + " values in a labelMap of " + size[0] + " x " + size[1]);
        }
        long anomalous = Arrays.stream(labelMap).filter(value -> value != 0).count();
        if (result.image() != null) {
            Files.write(output, Base64.getDecoder().decode(result.image()));
        }
        System.out.printf("%s: score %s, threshold %s, size %d x %d, %d anomalous pixels%n",
                result.verdict(), result.score(), result.threshold(), size[0], size[1], anomalous);
        return switch (result.verdict()) {
            case "OK" -> 0;
            case "NG" -> 1;
            default -> 2; // INVALID and LATE: nobody knows
        };
    }

    public static void main(String[] args) {
        if (args.length != 3) {
            System.err.println("usage: java -cp gson.jar Client.java URL IMAGE OUTPUT");
            System.exit(2);
        }
        try {
            System.exit(run(args[0], Path.of(args[1]), Path.of(args[2])));
        } catch (Exception error) { // whatever it was: not OK
            System.err.println("error: " + error);
            System.exit(2);
        }
    }
}
