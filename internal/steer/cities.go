package steer

import "math"

// cityRadius is how far from a city's middle a site is still taken for one of
// its country, in kilometres: less than what is of another country and not in
// the list.
const cityRadius = 25

// countryAt is the country of a place that is close to a city where data
// centres stand; "" anywhere else, since no table of this size knows borders.
func countryAt(lat, lon float64) string {
	at := vectorOf(lat, lon)
	country, best := "", math.Cos(cityRadius/earthRadius)
	for i := range cities {
		c := &cities[i]
		if near := at.dot(vectorOf(c.lat, c.lon)); near > best {
			country, best = c.country, near
		}
	}
	return country
}

// cities are where data centres stand, in the order of their countries; rounded
// to a hundredth of a degree.
var cities = [...]struct {
	country  string
	lat, lon float64 // degrees
}{
	{"AE", 25.20, 55.27},   // Dubai
	{"AR", -34.60, -58.38}, // Buenos Aires
	{"AT", 48.21, 16.37},   // Vienna
	{"AU", -33.87, 151.21}, // Sydney
	{"AU", -37.81, 144.96}, // Melbourne
	{"AU", -27.47, 153.03}, // Brisbane
	{"AU", -31.95, 115.86}, // Perth
	{"AU", -34.93, 138.60}, // Adelaide
	{"AU", -35.28, 149.13}, // Canberra
	{"BE", 50.85, 4.35},    // Brussels
	{"BG", 42.70, 23.32},   // Sofia
	{"BR", -23.55, -46.63}, // Sao Paulo
	{"BR", -22.91, -43.17}, // Rio de Janeiro
	{"BR", -3.73, -38.53},  // Fortaleza
	{"BR", -30.03, -51.23}, // Porto Alegre
	{"BR", -15.79, -47.88}, // Brasilia
	{"CA", 43.65, -79.38},  // Toronto
	{"CA", 45.50, -73.57},  // Montreal
	{"CA", 49.28, -123.12}, // Vancouver
	{"CA", 51.05, -114.07}, // Calgary
	{"CA", 45.42, -75.70},  // Ottawa
	{"CA", 49.90, -97.14},  // Winnipeg
	{"CH", 47.37, 8.54},    // Zurich
	{"CH", 46.95, 7.45},    // Bern
	{"CH", 46.52, 6.63},    // Lausanne
	{"CL", -33.45, -70.67}, // Santiago
	{"CN", 39.90, 116.41},  // Beijing
	{"CN", 31.23, 121.47},  // Shanghai
	{"CN", 23.13, 113.26},  // Guangzhou
	{"CN", 22.54, 114.06},  // Shenzhen
	{"CN", 30.57, 104.07},  // Chengdu
	{"CN", 30.27, 120.16},  // Hangzhou
	{"CO", 4.71, -74.07},   // Bogota
	{"CZ", 50.08, 14.44},   // Prague
	{"CZ", 49.20, 16.61},   // Brno
	{"DE", 50.11, 8.68},    // Frankfurt
	{"DE", 52.52, 13.40},   // Berlin
	{"DE", 48.14, 11.58},   // Munich
	{"DE", 53.55, 9.99},    // Hamburg
	{"DE", 51.23, 6.77},    // Dusseldorf
	{"DE", 49.45, 11.08},   // Nuremberg
	{"DE", 48.78, 9.18},    // Stuttgart
	{"DE", 51.34, 12.37},   // Leipzig
	{"DE", 50.94, 6.96},    // Cologne
	{"DK", 55.72, 12.40},   // Copenhagen, its west
	{"EE", 59.44, 24.75},   // Tallinn
	{"EG", 30.04, 31.24},   // Cairo
	{"ES", 40.42, -3.70},   // Madrid
	{"ES", 41.39, 2.17},    // Barcelona
	{"FI", 60.17, 24.94},   // Helsinki
	{"FR", 48.86, 2.35},    // Paris
	{"FR", 43.30, 5.37},    // Marseille
	{"FR", 45.76, 4.84},    // Lyon
	{"FR", 50.69, 2.85},    // Lille, its west
	{"FR", 44.84, -0.58},   // Bordeaux
	{"GB", 51.51, -0.13},   // London
	{"GB", 53.48, -2.24},   // Manchester
	{"GB", 55.95, -3.19},   // Edinburgh
	{"GB", 52.48, -1.90},   // Birmingham
	{"GB", 51.51, -0.59},   // Slough
	{"GB", 51.48, -3.18},   // Cardiff
	{"GB", 53.80, -1.55},   // Leeds
	{"GR", 37.98, 23.73},   // Athens
	{"HK", 22.32, 114.17},  // Hong Kong
	{"HR", 45.81, 15.98},   // Zagreb
	{"HU", 47.50, 19.04},   // Budapest
	{"ID", -6.21, 106.85},  // Jakarta
	{"ID", -7.26, 112.75},  // Surabaya
	{"IE", 53.35, -6.26},   // Dublin
	{"IL", 32.09, 34.78},   // Tel Aviv
	{"IN", 19.08, 72.88},   // Mumbai
	{"IN", 13.08, 80.27},   // Chennai
	{"IN", 28.61, 77.21},   // Delhi
	{"IN", 12.97, 77.59},   // Bengaluru
	{"IN", 17.39, 78.49},   // Hyderabad
	{"IN", 22.57, 88.36},   // Kolkata
	{"IS", 64.15, -21.94},  // Reykjavik
	{"IT", 45.46, 9.19},    // Milan
	{"IT", 41.90, 12.50},   // Rome
	{"JP", 35.68, 139.69},  // Tokyo
	{"JP", 34.69, 135.50},  // Osaka
	{"KE", -1.29, 36.82},   // Nairobi
	{"KR", 37.57, 126.98},  // Seoul
	{"KR", 35.18, 129.08},  // Busan
	{"KZ", 43.24, 76.89},   // Almaty
	{"LT", 54.69, 25.28},   // Vilnius
	{"LU", 49.61, 6.13},    // Luxembourg
	{"LV", 56.95, 24.11},   // Riga
	{"MA", 33.57, -7.59},   // Casablanca
	{"MX", 19.43, -99.13},  // Mexico City
	{"MX", 20.59, -100.39}, // Queretaro
	{"MY", 3.14, 101.69},   // Kuala Lumpur
	{"MY", 1.49, 103.74},   // Johor Bahru
	{"NG", 6.52, 3.38},     // Lagos
	{"NL", 52.37, 4.90},    // Amsterdam
	{"NL", 51.92, 4.48},    // Rotterdam
	{"NO", 59.91, 10.75},   // Oslo
	{"NZ", -36.85, 174.76}, // Auckland
	{"NZ", -41.29, 174.78}, // Wellington
	{"PE", -12.05, -77.04}, // Lima
	{"PH", 14.60, 120.98},  // Manila
	{"PL", 52.23, 21.01},   // Warsaw
	{"PL", 50.06, 19.94},   // Krakow
	{"PT", 38.72, -9.14},   // Lisbon
	{"QA", 25.29, 51.53},   // Doha
	{"RO", 44.43, 26.10},   // Bucharest
	{"RS", 44.79, 20.45},   // Belgrade
	{"RU", 55.76, 37.62},   // Moscow
	{"RU", 59.93, 30.34},   // Saint Petersburg
	{"RU", 55.03, 82.92},   // Novosibirsk
	{"SA", 24.71, 46.68},   // Riyadh
	{"SA", 21.49, 39.19},   // Jeddah
	{"SE", 59.33, 18.07},   // Stockholm
	{"SE", 57.71, 11.97},   // Gothenburg
	{"SG", 1.32, 103.84},   // Singapore
	{"SI", 46.06, 14.51},   // Ljubljana
	{"TH", 13.76, 100.50},  // Bangkok
	{"TR", 41.01, 28.98},   // Istanbul
	{"TR", 39.93, 32.86},   // Ankara
	{"TW", 25.03, 121.57},  // Taipei
	{"UA", 50.45, 30.52},   // Kyiv
	{"US", 40.71, -74.01},  // New York
	{"US", 39.04, -77.49},  // Ashburn
	{"US", 38.91, -77.04},  // Washington
	{"US", 37.77, -122.42}, // San Francisco
	{"US", 37.34, -121.89}, // San Jose
	{"US", 34.05, -118.24}, // Los Angeles
	{"US", 41.88, -87.63},  // Chicago
	{"US", 32.78, -96.80},  // Dallas
	{"US", 25.76, -80.19},  // Miami
	{"US", 33.75, -84.39},  // Atlanta
	{"US", 47.61, -122.33}, // Seattle
	{"US", 45.52, -122.68}, // Portland
	{"US", 39.74, -104.99}, // Denver
	{"US", 33.45, -112.07}, // Phoenix
	{"US", 36.17, -115.14}, // Las Vegas
	{"US", 40.76, -111.89}, // Salt Lake City
	{"US", 29.76, -95.37},  // Houston
	{"US", 42.36, -71.06},  // Boston
	{"US", 39.95, -75.17},  // Philadelphia
	{"US", 39.96, -83.00},  // Columbus
	{"US", 39.10, -94.58},  // Kansas City
	{"US", 41.26, -95.93},  // Omaha
	{"US", 44.98, -93.27},  // Minneapolis
	{"US", 35.23, -80.84},  // Charlotte
	{"US", 21.31, -157.86}, // Honolulu
	{"VN", 21.03, 105.85},  // Hanoi
	{"VN", 10.78, 106.70},  // Ho Chi Minh City
	{"ZA", -26.20, 28.05},  // Johannesburg
	{"ZA", -33.92, 18.42},  // Cape Town
}
