// Ask line-worker about one picture: go run . URL IMAGE OUTPUT   (Go 1.19 or later, the standard library alone)
//
// URL is like http://127.0.0.1:8080/image-anomaly-detection. Exit code: 0 OK, 1 NG, 2 anything else, so that a part
// passes only where the service said OK. LINE_API_KEY in the environment is sent where the service asks for keys.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	tries        = 5
	longestWaitS = 30
)

type answer struct {
	ErrorCode *int   `json:"errorCode"`
	ErrorMsg  string `json:"errorMsg"`
	Result    result `json:"result"`
}

type result struct {
	Verdict   string   `json:"verdict"`
	Score     *float64 `json:"score"` // nil where no model looked
	Threshold *float64 `json:"threshold"`
	Size      []int    `json:"size"`     // height, width
	LabelMap  []int    `json:"labelMap"` // row by row: 255 is an anomaly, 0 is none
	Image     []byte   `json:"image"`    // a JPEG; Base64 is how JSON holds a []byte
}

// ask gives what the service says of a picture.
func ask(url string, image []byte) (*result, error) {
	body, err := json.Marshal(map[string]any{"image": image, "visualize": true})
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 60 * time.Second}
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/json")
		if key := os.Getenv("LINE_API_KEY"); key != "" {
			request.Header.Set("X-API-Key", key)
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		after, err := strconv.Atoi(response.Header.Get("Retry-After")) // the line is full, or not ready yet
		if err != nil || attempt == tries {
			return read(response.StatusCode, text)
		}
		if after > longestWaitS {
			after = longestWaitS
		}
		time.Sleep(time.Duration(after) * time.Second)
	}
}

func read(status int, text []byte) (*result, error) {
	var said answer
	err := json.Unmarshal(text, &said)
	if err != nil || said.ErrorCode == nil { // not from the service: a proxy, another program
		return nil, fmt.Errorf("%d: %.200s", status, text)
	}
	if status != http.StatusOK || *said.ErrorCode != 0 {
		return nil, fmt.Errorf("%d: %s", status, said.ErrorMsg)
	}
	return &said.Result, nil
}

func run(url, imagePath, outputPath string) (int, error) {
	image, err := os.ReadFile(imagePath)
	if err != nil {
		return 2, err
	}
	result, err := ask(url, image)
	if err != nil {
		return 2, err
	}
	height, width := 0, 0
	if len(result.Size) == 2 {
		height, width = result.Size[0], result.Size[1]
	}
	if len(result.LabelMap) != height*width {
		return 2, fmt.Errorf("%d values in a labelMap of %d x %d", len(result.LabelMap), height, width)
	}
	anomalous := 0
	for _, value := range result.LabelMap {
		if value != 0 {
			anomalous++
		}
	}
	if len(result.Image) > 0 {
		if err := os.WriteFile(outputPath, result.Image, 0o644); err != nil {
			return 2, err
		}
	}
	fmt.Printf("%s: score %s, threshold %s, size %d x %d, %d anomalous pixels\n",
		result.Verdict, number(result.Score), number(result.Threshold), height, width, anomalous)
	switch result.Verdict {
	case "OK":
		return 0, nil
	case "NG":
		return 1, nil
	}
	return 2, nil // INVALID and LATE: nobody knows
}

func number(value *float64) string {
	if value == nil {
		return "null"
	}
	return strconv.FormatFloat(*value, 'g', -1, 64)
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: client URL IMAGE OUTPUT")
		os.Exit(2)
	}
	code, err := run(os.Args[1], os.Args[2], os.Args[3])
	if err != nil { // whatever it was: not OK
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(code)
}
