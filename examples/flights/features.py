"""What the example defines: who flies, what is known of flights and weather, and the features of a late arrival.

The question is asked half an hour before a flight is due to leave: will it arrive more than fifteen minutes late? What
helps is how things have been going: for the airline, at the airport, with this aircraft, and on this route.
"""

import thalweg as tw

carrier = tw.Entity("carrier", keys={"carrier": tw.string}, description="an airline, by its two-letter code")
origin = tw.Entity("origin", keys={"origin": tw.string}, description="one of New York's three airports")
aircraft = tw.Entity("aircraft", keys={"tailnum": tw.string}, description="one aircraft, by its tail number")
route = tw.Entity("route", keys={"origin": tw.string, "dest": tw.string}, description="from where to where")

FLIGHT = {
    "flight_id": tw.Column(tw.string, required=True, description="day, carrier, number and origin"),
    "carrier": tw.Column(tw.string, required=True),
    "origin": tw.Column(tw.string, required=True, allowed=["EWR", "JFK", "LGA"]),
    "dest": tw.Column(tw.string, required=True),
    "tailnum": tw.Column(tw.string, description="null where a flight was cancelled before it had an aircraft"),
}

departures = tw.EventSource(
    "departures",
    schema={
        **FLIGHT,
        "departed_at": tw.Column(tw.timestamp, required=True, description="the scheduled time if cancelled"),
        "known_at": tw.Column(tw.timestamp, required=True),
        "dep_delay": tw.Column(tw.int32, min=-120, max=1440, description="minutes; negative is early"),
        "cancelled": tw.Column(tw.bool_, required=True),
    },
    timestamp="departed_at",
    arrival_time="known_at",
    dedup=tw.Dedup(["flight_id"], within="2d"),
    description="a flight left, or was cancelled",
)

arrivals = tw.EventSource(
    "arrivals",
    schema={
        **FLIGHT,
        "arrived_at": tw.Column(tw.timestamp, required=True),
        "known_at": tw.Column(tw.timestamp, required=True),
        "arr_delay": tw.Column(tw.int32, required=True, min=-240, max=1440, description="minutes; negative is early"),
        "air_time": tw.Column(tw.int32, required=True, min=1, description="minutes"),
    },
    timestamp="arrived_at",
    arrival_time="known_at",
    dedup=tw.Dedup(["flight_id"], within="2d"),
    description="a flight arrived where it was bound for",
)

weather = tw.EventSource(
    "weather",
    schema={
        "origin": tw.Column(tw.string, required=True, allowed=["EWR", "JFK", "LGA"]),
        "observed_at": tw.Column(tw.timestamp, required=True),
        "known_at": tw.Column(tw.timestamp, required=True),
        "temp": tw.Column(tw.float64, description="degrees Fahrenheit"),
        "wind_speed": tw.Column(tw.float64, min=0.0, description="miles per hour"),
        "precip": tw.Column(tw.float64, min=0.0, description="inches in the hour"),
        "visib": tw.Column(tw.float64, min=0.0, description="miles"),
        "pressure": tw.Column(tw.float64, description="millibars at sea level"),
    },
    timestamp="observed_at",
    arrival_time="known_at",
    dedup=tw.Dedup(["origin", "observed_at"], within="2d"),
    description="the hourly observation at an airport",
)

# A comparison with null is null, so that cancelled flights are neither late nor on time.
LEFT_LATE = {"late": "CAST(dep_delay > 15 AS INT)", "gone": "CAST(cancelled AS INT)"}
CAME_LATE = {"late": "CAST(arr_delay > 15 AS INT)"}

carrier_departures = tw.FeatureView(
    "carrier_departures",
    entity=carrier,
    source=departures,
    derived=LEFT_LATE,
    features={
        "flights": tw.count(over=["1h", "1d", "7d"]),
        "dep_delay_mean": tw.mean("dep_delay", over=["1h", "1d", "7d", "30d"]),
        "dep_delay_max": tw.max("dep_delay", over=["1h", "1d"]),
        "late_share": tw.mean("late", over=["1h", "1d", "7d", "30d"]),
        "cancelled_share": tw.mean("gone", over=["1d", "7d"]),
    },
    description="how an airline's flights have been leaving New York",
)

carrier_arrivals = tw.FeatureView(
    "carrier_arrivals",
    entity=carrier,
    source=arrivals,
    derived=CAME_LATE,
    features={
        "arr_delay_mean": tw.mean("arr_delay", over=["1h", "1d", "7d", "30d"]),
        "arr_delay_max": tw.max("arr_delay", over="1d"),
        "arr_delay_std": tw.std("arr_delay", over="7d"),
        "late_share": tw.mean("late", over=["1h", "1d", "7d", "30d"]),
    },
    description="how an airline's flights have been arriving",
)

origin_departures = tw.FeatureView(
    "origin_departures",
    entity=origin,
    source=departures,
    derived=LEFT_LATE,
    features={
        "flights": tw.count(over=["1h", "1d"]),
        "dep_delay_mean": tw.mean("dep_delay", over=["1h", "1d", "7d"]),
        "dep_delay_max": tw.max("dep_delay", over="1h"),
        "late_share": tw.mean("late", over=["1h", "1d", "7d"]),
        "cancelled_share": tw.mean("gone", over="1d"),
        "destinations": tw.distinct_count("dest", over=["1h", "1d"]),
    },
    description="what goes on at the airport",
)

aircraft_departures = tw.FeatureView(
    "aircraft_departures",
    entity=aircraft,
    source=departures,
    features={
        "flights": tw.count(over=["1d", "7d"]),
        "last_dep_delay": tw.last("dep_delay", over="1d"),
        "last_dest": tw.last("dest", over="7d"),
        "dep_delay_mean": tw.mean("dep_delay", over=["1d", "7d", "30d"]),
        "destinations": tw.distinct_count("dest", over=["7d", "30d"]),
    },
    description="where an aircraft has been, and how late it left",
)

aircraft_arrivals = tw.FeatureView(
    "aircraft_arrivals",
    entity=aircraft,
    source=arrivals,
    derived=CAME_LATE,
    features={
        "last_arr_delay": tw.last("arr_delay", over=["1d", "7d"]),
        "arr_delay_mean": tw.mean("arr_delay", over=["7d", "30d"]),
        "arr_delay_max": tw.max("arr_delay", over="7d"),
        "late_share": tw.mean("late", over="30d"),
    },
    description="how late an aircraft has been arriving",
)

route_arrivals = tw.FeatureView(
    "route_arrivals",
    entity=route,
    source=arrivals,
    derived=CAME_LATE,
    features={
        "flights": tw.count(over=["7d", "30d"]),
        "arr_delay_mean": tw.mean("arr_delay", over=["1d", "7d", "30d"]),
        "arr_delay_max": tw.max("arr_delay", over="7d"),
        "late_share": tw.mean("late", over=["1d", "7d", "30d"]),
        "air_time_mean": tw.mean("air_time", over="30d"),
        "carriers": tw.distinct_count("carrier", over="30d"),
    },
    description="how late flights on a route have been arriving, whoever flew them",
)

origin_weather = tw.FeatureView(
    "origin_weather",
    entity=origin,
    source=weather,
    features={
        "temp": tw.latest("temp"),
        "wind_speed": tw.latest("wind_speed"),
        "precip": tw.latest("precip"),
        "visib": tw.latest("visib"),
        "pressure": tw.latest("pressure"),
        "wind_speed_max": tw.max("wind_speed", over="6h"),
        "visib_min": tw.min("visib", over="6h"),
        "precip_max": tw.max("precip", over="6h"),
    },
    staleness="6h",
    description="the newest observation, not from longer than six hours ago",
)

carrier_trend = tw.OnDemand(
    "carrier_trend",
    "carrier_arrivals.late_share_1d / NULLIF(carrier_arrivals.late_share_30d, 0.0)",
    description="the airline today against its month",
)
origin_trend = tw.OnDemand(
    "origin_trend",
    "origin_departures.late_share_1h / NULLIF(origin_departures.late_share_7d, 0.0)",
    description="the airport in this hour against its week",
)
route_vs_origin = tw.OnDemand(
    "route_vs_origin",
    "route_arrivals.late_share_30d / NULLIF(origin_departures.late_share_7d, 0.0)",
    description="the route against the airport that it leaves from",
)
aircraft_vs_carrier = tw.OnDemand(
    "aircraft_vs_carrier",
    "aircraft_arrivals.arr_delay_mean_7d - carrier_arrivals.arr_delay_mean_7d",
    description="minutes by which the aircraft is later than its airline",
)
route_delay_per_100_miles = tw.OnDemand(
    "route_delay_per_100_miles",
    "route_arrivals.arr_delay_mean_30d * 100.0 / request.distance",
    request={"distance": tw.Column(tw.int64, required=True, description="miles")},
    description="minutes of delay for every hundred miles",
)

arrival_delay = tw.FeatureService(
    "arrival_delay",
    features=[
        carrier_departures,
        carrier_arrivals,
        origin_departures,
        aircraft_departures,
        aircraft_arrivals,
        route_arrivals,
        origin_weather,
        carrier_trend,
        origin_trend,
        route_vs_origin,
        aircraft_vs_carrier,
        route_delay_per_100_miles,
    ],
    log_sample=1.0,
    description="will this flight arrive more than fifteen minutes late?",
)
