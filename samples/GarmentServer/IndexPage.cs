namespace GarmentServer;

/// <summary>The page at the root: one picture of each class, a new one at a click.</summary>
internal static class IndexPage
{
    public static string Render(IEnumerable<string> classes) => $$"""
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width">
        <title>Garments</title>
        <style>
          body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem; }
          main { display: flex; flex-wrap: wrap; gap: 1rem; }
          figure { margin: 0; text-align: center; cursor: pointer; }
          img { width: 8rem; height: 8rem; image-rendering: pixelated; background: #eee; display: block; }
        </style>
        <h1>Garments that never were</h1>
        <p>Click one for another. <code>GET /garment/{label}?seed={number}</code> gives the same picture every time.</p>
        <main>{{string.Concat(classes.Select(name => $"""
          <figure onclick="this.firstElementChild.src='/garment/{name}?seed='+Math.floor(Math.random()*1e9)"><img src="/garment/{name}?seed=1" alt="" loading="lazy"><figcaption>{name}</figcaption></figure>
        """))}}
        </main>
        """;
}
