use super::*;

fn secret(text: &str) -> ProxyConfig {
    ProxyConfig { url: Secret::Text(text.to_string()), ..ProxyConfig::default() }
}

fn chosen(proxies: &Proxies, url: &str) -> String {
    proxies.of(&Url::parse(url).unwrap()).map_or_else(|| "none".to_string(), Url::to_string)
}

#[test]
fn exceptions_are_those_of_no_proxy() {
    for (no_proxy, url, proxied) in [
        ("example.com", "http://example.com/", false),
        ("example.com", "http://a.example.com/", false),
        ("example.com", "http://badexample.com/", true),
        (".example.com", "http://example.com/", true),
        (".example.com", "http://a.example.com/", false),
        ("*.example.com", "http://a.example.com/", false),
        ("*.example.com", "http://example.com/", true),
        ("*", "http://anything/", false),
        ("EXAMPLE.com", "http://Example.COM/", false),
        ("example.com:8080", "http://example.com:8080/", false),
        ("example.com:8080", "http://example.com/", true),
        ("example.com:443", "https://example.com/", false),
        ("10.0.0.0/8", "http://10.1.2.3:9100/", false),
        ("10.0.0.0/8", "http://11.1.2.3:9100/", true),
        ("10.0.0.1", "http://10.0.0.1/", false),
        ("10.0.0.1:80", "http://10.0.0.1:81/", true),
        ("::1/128, fd00::/8", "http://[fd00::1]/", false),
        ("[fd00::1]:80", "http://[fd00::1]/", false),
        ("0.0.0.0/0", "http://10.0.0.1/", false),
        ("a, ,b", "http://b/", false),
        ("a", "http://localhost/", false),
        ("a", "http://127.0.0.7/", false),
        ("a", "http://[::1]/", false),
    ] {
        let config = ProxyConfig { no_proxy: Some(no_proxy.to_string()), ..secret("http://p:1") };
        let proxies = Proxies::new(&config, &|_| None).unwrap();
        let expected = if proxied { "http://p:1/" } else { "none" };
        assert_eq!(chosen(&proxies, url), expected, "{no_proxy} {url}");
    }
    let always = Proxies::new(&secret("p:3128"), &|_| None).unwrap();
    assert_eq!(chosen(&always, "http://localhost/"), "http://p:3128/");
}

#[test]
fn the_environment_names_proxies() {
    let config = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
    let of = |pairs: &'static [(&str, &str)]| {
        let env = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        Proxies::new(&config, &env).unwrap()
    };
    let both = of(&[("HTTP_PROXY", "one:1"), ("https_proxy", "socks5://two:2"), ("no_proxy", "x")]);
    assert_eq!(chosen(&both, "http://a/"), "http://one:1/");
    assert_eq!(chosen(&both, "https://a/"), "socks5h://two:2");
    assert_eq!(chosen(&both, "https://x/"), "none");
    assert_eq!(chosen(&of(&[("HTTP_PROXY", "one:1"), ("REQUEST_METHOD", "GET")]), "http://a/"), "none");
    assert!(of(&[]).is_empty());
}
