//! `tl info`.

use std::path::Path;

use crate::place::Place;

#[test]
fn it_says_where_everything_is() {
    let place = Place::protected();
    let info = place.json(&["info"]);
    for field in ["store", "logs", "socket"] {
        assert!(Path::new(info[field].as_str().unwrap()).exists(), "{field}: {info}");
    }
    assert_eq!((&info["form"], &info["format_version"]), (&"outside".into(), &1.into()));
    assert_eq!((&info["root_in_place"], &info["marked"]), (&true.into(), &true.into()));
    assert_eq!(info["pins"], 0);
    assert!(info["oldest"]["id"].as_str() <= info["newest"]["id"].as_str());
    let elsewhere = place.json(&["-C", "/", "--store", info["id"].as_str().unwrap(), "info"]);
    assert_eq!(elsewhere["root"], info["root"]);
}
