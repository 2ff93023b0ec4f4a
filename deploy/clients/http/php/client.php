<?php

// Ask line-worker about one picture: php client.php URL IMAGE OUTPUT   (PHP 8 with the extension curl)
//
// URL is like http://127.0.0.1:8080/image-anomaly-detection. Exit code: 0 OK, 1 NG, 2 anything else, so that a part
// passes only where the service said OK. LINE_API_KEY in the environment is sent where the service asks for keys.

declare(strict_types=1);

const TRIES = 5;
const LONGEST_WAIT_S = 30;

/** What the service says of a picture: the field `result` of its answer. */
function ask(string $url, string $image): array
{
    $headers = ['Content-Type: application/json'];
    if ($key = getenv('LINE_API_KEY')) {
        $headers[] = "X-API-Key: $key";
    }
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_POST => true,
        CURLOPT_POSTFIELDS => json_encode(['image' => base64_encode($image), 'visualize' => true]),
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 60,
        CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$after): int {
            if (preg_match('/^Retry-After:\s*(\d+)\s*$/i', $line, $found)) {
                $after = (int) $found[1];
            }
            return strlen($line);
        },
    ]);
    for ($attempt = 1; ; $attempt++) {
        $after = null;
        $body = curl_exec($curl);
        if ($body === false) {
            throw new RuntimeException(curl_error($curl));
        }
        if ($after === null || $attempt === TRIES) {
            break;
        }
        sleep(min($after, LONGEST_WAIT_S)); // the line is full, or not ready yet
    }
    $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    $answer = json_decode($body, true) ?? []; // not from the service: a proxy, another program
    if ($status !== 200 || ($answer['errorCode'] ?? null) !== 0) {
        throw new RuntimeException("$status: " . ($answer['errorMsg'] ?? substr($body, 0, 200)));
    }
    return $answer['result'];
}

/** The exit code. */
function main(string $url, string $image, string $output): int
{
    $bytes = @file_get_contents($image);
    if ($bytes === false) {
        throw new RuntimeException("cannot read $image");
    }
    $result = ask($url, $bytes);
    [$height, $width] = $result['size'] ?? [0, 0];
    $labelMap = $result['labelMap'] ?? []; // row by row: 255 is an anomaly, 0 is none
    if (count($labelMap) !== $height * $width) {
        throw new RuntimeException(count($labelMap) . " values in a labelMap of $height x $width");
    }
    $anomalous = count(array_filter($labelMap));
    if (isset($result['image']) && @file_put_contents($output, base64_decode($result['image'])) === false) {
        throw new RuntimeException("cannot write $output");
    }
    printf(
        "%s: score %s, threshold %s, size %d x %d, %d anomalous pixels\n",
        $result['verdict'],
        json_encode($result['score']),
        json_encode($result['threshold']),
        $height,
        $width,
        $anomalous,
    );
    return match ($result['verdict']) {
        'OK' => 0,
        'NG' => 1,
        default => 2, // INVALID and LATE: nobody knows
    };
}

if ($argc !== 4) {
    fwrite(STDERR, "usage: php client.php URL IMAGE OUTPUT\n");
    exit(2);
}
try {
    exit(main($argv[1], $argv[2], $argv[3]));
} catch (Throwable $error) { // whatever it was: not OK
    fwrite(STDERR, "error: {$error->getMessage()}\n");
    exit(2);
}
