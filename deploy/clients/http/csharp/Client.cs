// Ask line-worker about one picture: dotnet run URL IMAGE OUTPUT   (.NET Core 3.1 or later, C# 7, no packages)
//
// URL is like http://127.0.0.1:8080/image-anomaly-detection. Exit code: 0 OK, 1 NG, 2 anything else, so that a part
// passes only where the service said OK. LINE_API_KEY in the environment is sent where the service asks for keys.

using System;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;

static class Client
{
    const int Tries = 5;
    static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);
    static readonly HttpClient Http = new HttpClient { Timeout = TimeSpan.FromSeconds(60) };

    /// <summary>What the service says of a picture: the field `result` of its answer.</summary>
    static async Task<JsonElement> AskAsync(string url, byte[] image)
    {
        string body = JsonSerializer.Serialize(new { image = Convert.ToBase64String(image), visualize = true });
        for (int attempt = 1; ; attempt++)
        {
            using (var request = new HttpRequestMessage(HttpMethod.Post, url))
            {
                request.Content = new StringContent(body, Encoding.UTF8, "application/json");
                string key = Environment.GetEnvironmentVariable("LINE_API_KEY");
                if (!string.IsNullOrEmpty(key)) request.Headers.Add("X-API-Key", key);
                using (HttpResponseMessage response = await Http.SendAsync(request))
                {
                    TimeSpan? after = response.Headers.RetryAfter?.Delta; // the line is full, or not ready yet
                    if (after == null || attempt == Tries)
                        return Read((int)response.StatusCode, await response.Content.ReadAsStringAsync());
                    await Task.Delay(after < LongestWait ? after.Value : LongestWait);
                }
            }
        }
    }

    static JsonElement Read(int status, string text)
    {
        try
        {
            JsonElement answer = JsonDocument.Parse(text).RootElement;
            if (status == 200 && answer.GetProperty("errorCode").GetInt32() == 0) return answer.GetProperty("result");
            throw new IOException($"{status}: {answer.GetProperty("errorMsg").GetString()}");
        }
        catch (Exception error) when (!(error is IOException)) // not from the service: a proxy, another program
        {
            throw new IOException($"{status}: {text.Substring(0, Math.Min(200, text.Length))}");
        }
    }

    static async Task<int> RunAsync(string url, string image, string output)
    {
        JsonElement result = await AskAsync(url, File.ReadAllBytes(image));
        int[] size = Integers(result.GetProperty("size")); // height, width
        int[] labelMap = Integers(result.GetProperty("labelMap")); // row by row: 255 is an anomaly, 0 is none
        if (size.Length == 0) size = new[] { 0, 0 };
        if (labelMap.Length != size[0] * size[1])
            throw new IOException($"{labelMap.Length} values in a labelMap of {size[0]} x {size[1]}");
        JsonElement picture = result.GetProperty("image");
        if (picture.ValueKind == JsonValueKind.String) File.WriteAllBytes(output, picture.GetBytesFromBase64());
        string verdict = result.GetProperty("verdict").GetString();
        JsonElement score = result.GetProperty("score"), threshold = result.GetProperty("threshold");
        Console.WriteLine($"{verdict}: score {score.GetRawText()}, threshold {threshold.GetRawText()}, " +
            $"size {size[0]} x {size[1]}, {labelMap.Count(value => value != 0)} anomalous pixels");
        return verdict == "OK" ? 0 : verdict == "NG" ? 1 : 2; // INVALID and LATE: nobody knows
    }

    static int[] Integers(JsonElement array) => array.ValueKind == JsonValueKind.Array
        ? array.EnumerateArray().Select(value => value.GetInt32()).ToArray()
        : new int[0];

    static int Main(string[] args)
    {
        if (args.Length != 3)
        {
            Console.Error.WriteLine("usage: client URL IMAGE OUTPUT");
            return 2;
        }
        try
        {
            return RunAsync(args[0], args[1], args[2]).GetAwaiter().GetResult();
        }
        catch (Exception error) // whatever it was: not OK
        {
            Console.Error.WriteLine($"error: {error.Message}");
            return 2;
        }
    }
}
